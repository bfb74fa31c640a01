//! GitHub as it is: its rules, its limits, reads that lag, names that change.

mod lag;
mod limits;
mod merging;
mod names;
mod refusals;

use windlass::sandbox::example::CONFIG;
use windlass::sandbox::forge::state::{Repository, Rule};

use crate::support::World;

/// A rule of the config repository's default branch.
fn on_main(world: &World, rule: Rule) {
    change(world, |repo| {
        repo.rules.push(Rule {
            branch: "main".into(),
            ..rule
        });
    });
}

fn change(world: &World, change: impl FnOnce(&mut Repository)) {
    let mut state = world.forge.state();
    change(state.by_full_name_mut(CONFIG).expect("a repository"));
}
