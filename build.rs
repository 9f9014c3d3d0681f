//! Addresses that the loader has to adjust at each start, some 50,000 of them, are packed where the
//! system's loader knows how to read that: 1.2 MB less of the program is read, before its first
//! instruction. glibc does since 2.36 (Debian 12, Ubuntu 24.04); an older one would refuse to start
//! the program. `DARKROOM_PORTABLE=1` leaves it out, for a program that is to be copied to such a
//! system.

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DARKROOM_PORTABLE");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    let gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // The program may be meant for another system than this one: then nothing is known of its loader.
    let native = var("HOST").is_ok_and(|host| is("TARGET", &host));
    let portable = var("DARKROOM_PORTABLE").is_ok_and(|wish| !["", "0"].contains(&wish.as_str()));
    if gnu && native && !portable && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this system's C library.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    // A third number may follow.
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
