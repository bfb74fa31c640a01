//! What people steer in a pull request's thread: holds, merges, rollbacks, and which images go
//! where.
//!
//! - `every_command`: each of them in each way in which it may come
//! - `holds`: `/hold`, `/resume`, and what holds by itself
//! - `merging`: `/merge` and `/cancel`
//! - `rollbacks`: `/rollback`, and those that begin by themselves
//! - `images`: `/reject` and `/promote`

mod every_command;
mod holds;
mod images;
mod merging;
mod rollbacks;

use crate::support::World;

pub use crate::paths::command::reply;

/// Gives a command, and the text of its answer below the quote.
async fn command(world: &World, login: &str, number: u64, text: &str) -> String {
    let id = world.comment(login, number, text);
    let answer = world.scrub(&reply(world, number, id).await);
    let answer = answer.split_once("`\n\n").unwrap_or_default().1;
    answer.trim().to_string()
}

/// Waits until an application's status has something.
async fn until_status(world: &World, name: &str, field: &str, part: &str) -> String {
    world
        .until(&format!("{field} of {name} has {part:?}"), async || {
            let status = world.application(name).await["status"].clone();
            let text = status[field].as_str().unwrap_or_default();
            text.contains(part).then(|| text.to_string())
        })
        .await
}
