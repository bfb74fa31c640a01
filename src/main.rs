//! Arguments → windlass.

use std::process::ExitCode;

/// Objects are taken apart and put together all day: the system's allocator was a quarter of the
/// processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One TLS provider for all clients; kube panics where two could be meant.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    windlass::cli::main()
}
