//! What all handlers share.

use super::args::Args;
use super::draw::Gallery;
use super::world::World;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The running vendor.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) args: Arc<Args>,
    pub(crate) addr: SocketAddr,
    world: Mutex<World>,
    pub(crate) gallery: Gallery,
}

impl Sim {
    /// A vendor that is reached at this address.
    pub(crate) fn new(args: Args, addr: SocketAddr) -> std::io::Result<Self> {
        let args = Arc::new(args);
        let world = Mutex::new(World::new(args.clone()));
        Ok(Self { args, addr, world, gallery: Gallery::new()? })
    }

    /// The vendor's state as of now. Never held across an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance();
        world
    }
}
