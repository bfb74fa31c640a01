//! What one image's life asks of GitHub, as the forge counts it.

use windlass::sandbox::example::{self, CONFIG, SOURCE};
use windlass::sandbox::forge::state::Counted;

use super::{Setup, World, image_event};

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

    /// Has an image built and announced, proposed, merged, rolled out and reported; what that asked
    /// of GitHub.
    pub async fn life(&self, tag: &str) -> Asked {
        let files = [("main.go", Some(tag))];
        let built_from = self.forge.push(SOURCE, "main", "ada", tag, &files).unwrap();
        let mut event = image_event(tag);
        event["commit"] = built_from.as_str().into();
        self.quiet().await;
        self.counted();
        self.announce_as(&event).await;
        let number = self.pull_request("staging").await;
        let merged = self.merged(number).await;
        self.sync_status(&merged, "success").await;
        self.quiet().await;
        let state = self.forge.state();
        let shop = state.by_full_name(SOURCE).unwrap();
        let of = shop.statuses.iter().filter(|one| one.sha == built_from);
        let told: Vec<_> = of.map(|one| (&one.state, &one.description)).collect();
        assert_eq!(told.len(), 1, "the commit that it was built from: {told:?}");
        drop(state);
        let shown = self.forge.note(CONFIG, "windlass", &merged).unwrap();
        assert!(shown.contains("synced, healthy"), "{shown}");
        self.counted()
    }

    /// With so many open pull requests, a push to the default branch that changes none of them; what
    /// that asked of GitHub.
    pub async fn push_beside(&self, open: u64) -> Asked {
        let mut numbers = Vec::new();
        let config = self.file("apps/shop/production/config.yaml");
        for number in 0..open {
            let note = format!("notes/{number}.md");
            let greeting = config.replace("hello", &format!("hello {number}"));
            let (path, text) = match number % 2 {
                0 => (note.as_str(), "A note"),
                _ => ("apps/shop/production/config.yaml", greeting.as_str()),
            };
            let branch = format!("note-{number}");
            numbers.push(self.propose("bob", &branch, &[(path, Some(text))]));
        }
        for number in numbers {
            self.gate_status(number, "pending").await;
        }
        self.quiet().await;
        self.counted();
        let commit = self.commit(
            "A word",
            &[("README.md", Some("# What runs where\n\nHere.\n"))],
        );
        self.sync_status(&commit, "success").await;
        self.quiet().await;
        self.counted()
    }
}
