//! What one image's life asks of GitHub, as the forge counts it.

use windlass::sandbox::example;
use windlass::sandbox::forge::state::Counted;

use super::{Setup, World};

/// Requests of the App; an answer of 304 costs none.
#[derive(Debug)]
pub struct Asked {
    pub reads: Vec<String>,
    pub writes: Vec<String>,
}

impl World {
    /// The requests since the last call, as the forge counted them.
    pub fn counted(&self) -> Asked {
        let counted = std::mem::take(&mut self.forge.state().quota.counted);
        let name = |one: &Counted| format!("{} {}", one.method, one.route);
        let of = |write: bool| {
            let paid = counted
                .iter()
                .filter(|one| one.write == write && one.status != 304);
            paid.map(name).collect()
        };
        Asked {
            reads: of(false),
            writes: of(true),
        }
    }

    /// A world in which an image goes to one stage, and no further.
    pub async fn of_one_stage() -> Self {
        let world = Self::asleep(Setup::default()).await;
        let catalog = world.file("windlass.yaml");
        let (before, rest) = catalog.split_once("  production:\n").unwrap();
        let (_, after) = rest.split_once("applications:").unwrap();
        let catalog = format!("{before}applications:{after}");
        let production: Vec<_> = example::config_files(&example::Example {
            prefix: &world.prefix,
            others: &[],
            platform: false,
        })
        .into_iter()
        .filter(|(path, _)| path.contains("/production/"))
        .collect();
        let mut files = vec![("windlass.yaml", Some(catalog.as_str()))];
        files.extend(production.iter().map(|(path, _)| (path.as_str(), None)));
        let commit = world.commit("One stage", &files);
        world.start();
        world.sync_status(&commit, "success").await;
        world.quiet().await;
        world
    }

    /// Has an image announced, proposed, merged, rolled out and reported; what that asked of
    /// GitHub.
    pub async fn life(&self, tag: &str) -> Asked {
        self.counted();
        self.announce(tag).await;
        let number = self.pull_request("staging").await;
        let merged = self.merged(number).await;
        self.sync_status(&merged, "success").await;
        self.quiet().await;
        self.counted()
    }
}
