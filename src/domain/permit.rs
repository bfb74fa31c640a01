//! The right to write.
//!
//! Everything that writes to GitHub, to a cluster or to our own objects is a
//! method of a writer, and a writer is only made with a [`WritePermit`]. What
//! observes has none, so that it cannot write.

/// The right to write, of which a held Lease makes the only one.
#[derive(Debug)]
pub struct WritePermit(());

impl WritePermit {
    /// For the Lease alone, once it is held.
    pub fn of_the_lease() -> Self {
        Self(())
    }
}
