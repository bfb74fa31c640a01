//! What a tool that applies beside windlass has to be able to do.

use crate::support::World;

/// The user by which a token is sent to Git.
pub const TOKEN_USER: &str = "x-access-token";

pub trait Peer {
    /// `reconcile:` of its stage in windlass.yaml.
    fn reconcile(&self) -> String;

    /// The files that are in the repository beside those of the applications, which deploy to a
    /// namespace: windlass.yaml among them.
    fn files(&self, _applications: &[String], namespace: &str) -> Vec<(String, String)> {
        let catalog = format!(
            "version: 1\nstages:\n  staging:\n    cluster: local\n    reconcile: {}\napplications:\n  - path: apps/{{application}}/{{stage}}\n    namespace: {namespace}\n",
            self.reconcile(),
        );
        vec![("windlass.yaml".into(), catalog)]
    }

    /// The annotation that lets it recreate an object whose immutable fields change.
    fn recreate(&self) -> (&'static str, &'static str);

    /// Annotations that change how it applies or deletes an object.
    fn marks(&self) -> &'static [(&'static str, &'static str)];

    /// Whether manifests have to name their namespace.
    fn needs_namespaces(&self) -> bool;

    /// Declares the applications to it.
    fn declare(&self, world: &World, applications: &[String]);

    /// Has it look at the newest commit of the repository.
    fn refresh(&self, world: &World, commit: &str);

    /// Each application with the reason why it failed at a commit, if it did; None: some are not done yet.
    fn outcome(&self, world: &World, commit: &str) -> Option<Vec<(String, Option<String>)>>;
}
