//! Every label and annotation of windlass, `windlass.dev/…`: on managed objects, in people's manifests
//! and on our own objects.

/// The label and annotations on managed objects (never in pod templates).
pub const OWNER_LABEL: &str = "windlass.dev/owner";
pub const APPLICATION_ANNOTATION: &str = "windlass.dev/application";

/// What a hook runs for: the beginning of the digest of the application's inputs.
pub const RUN: &str = "windlass.dev/hook-run";

// In people's manifests.

/// When a hook runs: `before` or `after`.
pub const HOOK: &str = "windlass.dev/hook";

/// The annotation that puts an object into a wave; 0 without it. Argo CD's is understood too.
pub const WAVE: &str = "windlass.dev/wave";

/// The annotation by which an object's health does not count: `ignore`.
pub const HEALTH: &str = "windlass.dev/health";

/// The annotation that keeps an object from being pruned, in Git or on the live object.
pub const PRUNE: &str = "windlass.dev/prune";

/// The annotation by which Git allows that an object is deleted and created anew: its value names the change.
pub const RECREATE: &str = "windlass.dev/recreate";

// On our own objects: what people and commands ask for.

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
