//! The reasons of an `Application`'s conditions: a closed list that alerts match. A code keeps its
//! meaning.

/// Each code, with what it means.
pub const CODES: [(&str, &str); 24] = [
    (
        "AdoptionRequired",
        "The first sync would change what was there before; somebody has to adopt it.",
    ),
    ("Applying", "A plan is being carried out."),
    (
        "ClusterUnreachable",
        "The destination cluster cannot be reached.",
    ),
    (
        "Degraded",
        "A live object has failed, or the deadline passed before it was healthy.",
    ),
    (
        "DeletionsPending",
        "Only deletions are left, and they wait: for health, for a finalizer, or for a confirmation.",
    ),
    (
        "DriftLoop",
        "Others change an object again and again after it was set back.",
    ),
    (
        "DriftReported",
        "Others changed a live object, and `drift: report` or `propose` leaves it so.",
    ),
    ("Error", "The application could not be reconciled."),
    ("Healthy", "Every object is healthy."),
    (
        "HealthTimeout",
        "The application was not healthy within `healthTimeout`.",
    ),
    (
        "LeftGit",
        "Git does not have the application any more; its deletion waits for a confirmation.",
    ),
    ("Missing", "An object that Git has is not in the cluster."),
    (
        "NotAsApproved",
        "The cluster changed since the approval: the sync would not do what was approved.",
    ),
    (
        "Paused",
        "The annotation `windlass.dev/pause` stops syncs for a time.",
    ),
    ("Progressing", "A live object is being rolled out."),
    ("ReconcilerFailed", "Argo CD or Flux reports a failure."),
    (
        "Refused",
        "The cluster, or the server's settings, refuse an object.",
    ),
    (
        "RenderFailed",
        "The application's directory cannot be rendered.",
    ),
    (
        "RendersToNothing",
        "The application's directory renders to no object.",
    ),
    ("Suspended", "A live object is suspended."),
    ("Unknown", "The health of an object is not known."),
    (
        "WaitingForDependencies",
        "An application that it depends on is not synced and healthy.",
    ),
    (
        "WaitingForWave",
        "A wave has to become healthy before the next one begins.",
    ),
    (
        "WaveFailed",
        "A wave failed: the ones after it are not begun.",
    ),
];
