//! Arguments → windlass.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One TLS provider for all clients; kube panics where two could be meant.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    windlass::cli::main()
}
