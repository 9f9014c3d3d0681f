//! What the vendor client promises, against tables and against real HTTP on loopback.

mod bodies;
mod calls;
mod classify;
mod effects;
mod job_page;
mod job_pages;
mod listing;
mod media;
mod server;
mod uploads;
mod wire;
