//! Every label and annotation of windlass, `windlass.dev/…`: on managed objects, in people's
//! manifests and on our own objects.

/// The label and annotations on managed objects (never in pod templates).
pub const OWNER_LABEL: &str = "windlass.dev/owner";
pub const APPLICATION_ANNOTATION: &str = "windlass.dev/application";

/// What a hook ran for: the first digits of the digest of the application's inputs.
pub const RUN: &str = "windlass.dev/hook-run";

// In people's manifests.

/// When a hook runs: `before` or `after`.
pub const HOOK: &str = "windlass.dev/hook";

/// The annotation with an object's wave; 0 without it. Argo CD's is understood too.
pub const WAVE: &str = "windlass.dev/wave";

/// The annotation that excludes an object from the application's health: `ignore`.
pub const HEALTH: &str = "windlass.dev/health";

/// The annotation that keeps an object from being pruned, in Git or on the live object.
pub const PRUNE: &str = "windlass.dev/prune";

/// The annotation in Git that allows deleting and recreating an object: its value names the change.
pub const RECREATE: &str = "windlass.dev/recreate";

// On our own objects: requests of people and commands.

/// The annotation that requests a sync; its value names the comment with the request.
pub const SYNC_REQUEST: &str = "windlass.dev/sync-requested";

/// The annotation that pauses syncs: its value is a duration (`2h`). Any text after a comma makes
/// it a new request.
pub const PAUSE: &str = "windlass.dev/pause";

/// The annotation that holds an application in a stage: JSON with `by`, `reason`, `since` and
/// perhaps `until`, or just the reason.
pub const HOLD: &str = "windlass.dev/hold";

/// The annotation that rolls an application in a stage back: JSON with `to` (a commit), `by` and
/// `reason`, or just the commit.
pub const ROLLBACK: &str = "windlass.dev/rollback";

/// The annotation that names the commit whose rollback somebody declined by closing its pull request.
pub const ROLLBACK_DECLINED: &str = "windlass.dev/rollback-declined";

/// The annotation that passes over an earlier stage for one image: JSON with `stage`, `digest`, `by`
/// and `reason`.
pub const SKIP: &str = "windlass.dev/skip";

/// The annotation that confirms deletions: its value is the digest that names them.
pub const CONFIRM_PRUNE: &str = "windlass.dev/confirm-prune";

/// The annotation that applies a plan which is not what was approved: its value names the
/// differences.
pub const APPLY: &str = "windlass.dev/apply";

/// The annotation that lets a first sync change existing objects.
pub const ADOPT: &str = "windlass.dev/adopt";

/// The annotation that requests to take over fields that others own: a JSON list of field rules,
/// `[{"kind":"Deployment","name":"api","path":".spec.replicas"}]`.
pub const TAKE: &str = "windlass.dev/take";

/// The last commands that were carried out: the comment and the command, `123-sync`.
pub const HANDLED: &str = "windlass.dev/handled-commands";

/// Who has given a command that several people have to give: `confirm-prune DIGEST mia bob`.
pub const SAID: &str = "windlass.dev/said";
