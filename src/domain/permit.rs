//! The right to write.
//!
//! Every write to GitHub, to a cluster or to our own objects is a method of a
//! writer, and a writer is only created with a [`WritePermit`]. Code that only
//! observes has no permit, so it cannot write.

/// The right to write. Only the holder of the Lease gets one, a server that only previews, or
/// the set-up.
#[derive(Debug)]
pub struct WritePermit(());

impl WritePermit {
    /// Only to be called once the Lease is held.
    pub fn of_the_lease() -> Self {
        Self(())
    }

    /// For `windlass setup`, which opens one pull request when somebody presses a button. Nothing else
    /// of windlass runs by then.
    pub fn to_set_up() -> Self {
        Self(())
    }

    /// For a server that only previews: it writes to the threads of pull requests, and to no cluster,
    /// not even a Lease.
    pub fn to_preview() -> Self {
        Self(())
    }
}
