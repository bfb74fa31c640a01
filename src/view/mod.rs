//! What people read: view-models → Markdown, through `templates/`.
//!
//! Everything that comes from a manifest, a name or an error is either inside a
//! fence longer than any in it, or in a code span; so it mentions nobody, links
//! to nothing and forges no marker. A comment stays under [`MOST_BYTES`]: the
//! fullest form that fits is taken, and a deletion is never dropped.
//!
//! - `markdown`: text from outside, made harmless
//! - `markers`: hidden comments by which our own messages are found again
//! - `preview`: the comment and the check run of a preview; `notes`: its sentences about an application;
//!   `terminal`: the same in a terminal; `listing`: the applications of a `windlass.yaml` there; `moving`: what `windlass import` moves
//! - `verdict`: the gates, one by one; `commands` and `gate_commands`: answers to commands, posted by `replies`;
//!   `history`: what applications are and were at
//! - `progress`: the roll-out after the merge; `failure`: that it fails; `reason`: why an application is where it is; `external`: the same where Argo CD or Flux reconciles it
//! - `activity`: what windlass did, in the log, in Kubernetes Events and on the page
//! - `page`: the pages that the server shows; `standing`: an application's state in one word; `status`: tables in a terminal; `doctor`: what is wrong with an installation
//! - `promotion`, `drift`: the bodies of the pull requests that windlass opens

mod activity;
pub mod commands;
mod doctor;
mod drift;
mod external;
mod failure;
mod gate_commands;
mod history;
mod listing;
mod markdown;
mod markers;
mod moving;
mod notes;
pub mod page;
mod preview;
mod progress;
mod promotion;
mod reason;
mod replies;
mod setup;
mod standing;
mod status;
mod terminal;
mod verdict;

pub use activity::{activity, advised, notification, subject};
pub use doctor::{finding, findings};
pub use drift::{drift, drift_of};
pub use external::{reconciler_object, refused_request, waits};
pub use failure::{People, failed_of, failing_name, failure};
pub use listing::{applications, initialized};
pub use markdown::{code, first_of, listed, quoted};
pub use markers::{outcome_of, reply_of, sticky_body, sticky_of, tampered, tampered_of};
pub use moving::{Imported, imported};
pub use notes::{
    FOREIGN_IDS, NOT_APPLIED, all_planned, declared_no_more, encrypted, forgotten, former_chart,
    hands_over, leaves_git, looks_up, moves, new_application, not_automatic, not_run, pinned,
    repeated, stays, to_adopt, unread, unruled, unseen,
};
pub use preview::{Annotation, PreviewText, preview};
pub use progress::{merged, progress, rollout};
pub use promotion::{closed, not_proposed, promotion, rollback, taken_back};
pub use reason::{held, reason};
pub use replies::{command_table, help, parse_error, reply};
pub use setup::{NextSteps, SetupPage, SetupRepository, first_pull, permissions, set_up, setup};
pub use standing::{Tone, standing, standing_of_object};
pub use status::{StatusRow, history_table, status_table};
pub use terminal::{coloured, terminal};
pub use verdict::{group_title, unprotected, why, why_of};

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// GitHub takes 65,536 characters; mail and mobile clients less gladly so.
const MOST_BYTES: usize = 60_000;

const TEMPLATES: [(&str, &str); 8] = [
    ("change.md", include_str!("../../templates/change.md")),
    ("drift.md", include_str!("../../templates/drift.md")),
    ("failure.md", include_str!("../../templates/failure.md")),
    ("preview.md", include_str!("../../templates/preview.md")),
    ("details.md", include_str!("../../templates/details.md")),
    ("progress.md", include_str!("../../templates/progress.md")),
    ("reply.md", include_str!("../../templates/reply.md")),
    ("promotion.md", include_str!("../../templates/promotion.md")),
];

/// The environment of some templates: what is not there is an error, and lines of tags leave none.
fn templates(sources: &[(&'static str, &'static str)]) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.expect("trimming is legal"));
    for (name, source) in sources {
        environment
            .add_template(name, source)
            .expect("the templates are tested to parse");
    }
    environment
}

/// A page by itself. Names that end with `.html` have their values escaped.
fn render_page(name: &'static str, source: &'static str, data: impl Serialize) -> String {
    let environment = templates(&[(name, source)]);
    let template = environment.get_template(name);
    template
        .and_then(|template| template.render(Serde(data)))
        .expect("the template is tested")
}

fn render(name: &str, data: impl Serialize) -> String {
    let environment = templates(&TEMPLATES);
    let template = environment
        .get_template(name)
        .expect("the name is one of TEMPLATES");
    template
        .render(Serde(data))
        .expect("the templates are tested with every view-model")
        .trim()
        .to_string()
        + "\n"
}
