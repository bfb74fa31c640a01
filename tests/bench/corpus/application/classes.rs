//! What a change may run into, and the marks and tools that it takes.

/// What a change may run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Image,
    Quantity,
    ListItem,
    PortWithoutProtocol,
    StringData,
    ClientSideResidue,
    Immutable,
    RemovedField,
    Status,
    Prune,
    DefinitionWithObject,
    AtomicList,
    Autoscaler,
    NamespaceWithObject,
    Defaults,
    Rbac,
    HorizontalPodAutoscaler,
    OthersEntries,
    Label,
    Ingress,
    Strategy,
    Handler,
    /// Left by these tools, put into Git.
    LeftByCreate,
    LeftByHelm,
    LeftByArgoCd,
    LeftByFlux,
    Rename,
    /// A generated ConfigMap under a new name, and pods of it that fail.
    HashedConfigThatFails,
    AggregatedRole,
    ScaledByOthers,
    Finalizer,
    KeptByMark,
}

pub const CLASSES: [Class; 32] = [
    Class::Image,
    Class::Quantity,
    Class::ListItem,
    Class::PortWithoutProtocol,
    Class::StringData,
    Class::ClientSideResidue,
    Class::Immutable,
    Class::RemovedField,
    Class::Status,
    Class::Prune,
    Class::DefinitionWithObject,
    Class::AtomicList,
    Class::Autoscaler,
    Class::NamespaceWithObject,
    Class::Defaults,
    Class::Rbac,
    Class::HorizontalPodAutoscaler,
    Class::OthersEntries,
    Class::Label,
    Class::Ingress,
    Class::Strategy,
    Class::Handler,
    Class::LeftByCreate,
    Class::LeftByHelm,
    Class::LeftByArgoCd,
    Class::LeftByFlux,
    Class::Rename,
    Class::HashedConfigThatFails,
    Class::AggregatedRole,
    Class::ScaledByOthers,
    Class::Finalizer,
    Class::KeptByMark,
];

/// How the tools write, and the marks of an owner that is gone.
pub const TOOLS: [(Class, &str, &[&str], &str); 4] = [
    (Class::LeftByCreate, "create", &["create"], ""),
    (
        Class::LeftByHelm,
        "helm",
        &["create", "--field-manager=helm"],
        "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: gone, meta.helm.sh/release-namespace: gone}",
    ),
    (
        Class::LeftByArgoCd,
        "argo",
        &[
            "apply",
            "--server-side",
            "--field-manager=argocd-controller",
        ],
        "annotations: {'argocd.argoproj.io/tracking-id': 'gone:apps/Deployment:gone/gone'}",
    ),
    (
        Class::LeftByFlux,
        "flux",
        &[
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
        ],
        "labels: {kustomize.toolkit.fluxcd.io/name: gone, kustomize.toolkit.fluxcd.io/namespace: gone}",
    ),
];

/// Marks by which tools are told not to delete.
pub const MARKS: [&str; 4] = [
    "helm.sh/resource-policy: keep",
    "argocd.argoproj.io/sync-options: Prune=false",
    "kustomize.toolkit.fluxcd.io/prune: disabled",
    "windlass.dev/prune: never",
];
