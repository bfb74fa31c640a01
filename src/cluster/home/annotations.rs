//! What people and commands ask for by annotations of our objects.

/// The annotation that asks for a sync; its value names the comment that asked.
pub const SYNC_REQUEST: &str = "windlass.dev/sync-requested";

/// The annotation that pauses: its value is a duration (`2h`), with anything after a comma to ask for the same again.
pub const PAUSE: &str = "windlass.dev/pause";

/// The annotation that confirms deletions: its value is the digest that names them.
pub const CONFIRM_PRUNE: &str = "windlass.dev/confirm-prune";

/// The annotation that lets a first sync change what was there before it.
pub const ADOPT: &str = "windlass.dev/adopt";

/// The annotation by which somebody has fields taken that others hold: `Deployment/api .spec.replicas`, one a line.
pub const TAKE: &str = "windlass.dev/take";

/// Commands that were carried out, the last ones: the comment and the word, `123-sync`.
pub const HANDLED: &str = "windlass.dev/handled-commands";

/// Who has given a command that needs more than one person's word, and which: `confirm-prune DIGEST mia bob`.
pub const SAID: &str = "windlass.dev/said";
