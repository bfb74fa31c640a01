//! `docs/reference/`: pages that are made from the types that they describe. `make reference` writes them, and a test
//! holds the committed pages to them.

mod cli;
mod objects;
mod schema;

use std::fmt::Write as _;

use crate::domain::catalog;
use crate::domain::pull_request::{CHECK, GATE_CONTEXT, SYNC_CONTEXT};
use crate::domain::sync::CODES;
use crate::telemetry::{ApplicationInfo, Metrics};
use crate::view;

/// A page: its file name, and its text.
pub type Page = (&'static str, String);

/// All pages.
pub fn pages() -> Vec<Page> {
    let page = |name, title: &str, body: String| {
        let text = format!(
            "# {title}\n\n<!-- Made by `make reference`; edit the types that it is made from. -->\n\n{body}"
        );
        (name, format!("{}\n", text.trim_end()))
    };
    vec![
        page(
            "commands.md",
            "Commands in a pull request's thread",
            view::command_table(),
        ),
        page(
            "windlass-yaml.md",
            "windlass.yaml",
            schema::keys(&catalog::schema()),
        ),
        page("cli.md", "The command line", cli::subcommands()),
        page(
            "settings.md",
            "Settings of `windlass serve`",
            cli::settings(),
        ),
        page("statuses.md", "Statuses, checks and conditions", statuses()),
        page(
            "objects.md",
            "Application, Promotion and Freeze objects",
            objects::fields(),
        ),
        page("metrics.md", "Metrics", metrics()),
        ("api.json", format!("{:#}\n", view::page::description())),
    ]
}

/// The JSON schema of `windlass.yaml`.
pub fn schema() -> String {
    format!("{:#}\n", catalog::schema())
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let columns = head.matches('|').count() - 1;
    let mut text = format!("{head}\n|{}\n", "---|".repeat(columns));
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
    text
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn statuses() -> String {
    let named = [
        (
            format!("check run `{CHECK}`"),
            "heads",
            "what would happen; fails if the cluster would refuse it; neutral for forks and where changes do not fit",
        ),
        (
            format!("check runs `{CHECK} page N`"),
            "heads",
            "what does not fit into the first one: at most ten pages",
        ),
        (
            format!("check run `{GATE_CONTEXT}`"),
            "heads",
            "the verdict: in progress while it waits, or failing, with the reason",
        ),
        (
            format!("status `{SYNC_CONTEXT}`"),
            "commits of the base branch",
            "pending where it takes longer than 20 seconds, then success or failure; error while a cluster cannot be reached; over all applications that the commit changed",
        ),
        (
            "status `windlass/STAGE`".into(),
            "the source commit that an image was built from",
            "how far the stage is with the image, if the App is installed on the source repository",
        ),
        (
            "Deployments".into(),
            "commits of the base branch",
            "one for each stage that the commit changes; the environment is the stage's name",
        ),
        (
            "note `refs/notes/windlass`".into(),
            "commits of the base branch",
            "the receipt: plan digests, what was done to each object, approvals, times",
        ),
    ];
    let names = table(
        "| name | on | says |",
        named
            .iter()
            .map(|(name, on, says)| format!("| {name} | {on} | {says} |")),
    );
    let codes = table(
        "| reason | meaning |",
        CODES
            .iter()
            .map(|(code, meaning)| format!("| `{code}` | {meaning} |")),
    );
    format!(
        "## On GitHub\n\n{names}\nRead a receipt with `git fetch origin refs/notes/windlass:refs/notes/windlass` and `git notes --ref=windlass show COMMIT`.\n\n## Reasons of conditions\n\nThe conditions `Synced` and `Healthy` of an `Application` carry one of these reasons. Alerts can match them; `message` has the words.\n\n{codes}"
    )
}

/// From the registry's own text: `# HELP`, `# TYPE`.
fn metrics() -> String {
    let metrics = Metrics::default();
    // Families are printed once they have a member.
    metrics.queue("application", 0);
    metrics.predicted(0, 0);
    metrics.activity("Applied");
    metrics.drift_reverted("shop".into(), "staging".into());
    let applications = vec![ApplicationInfo {
        labels: vec![("application", "shop".into()), ("stage", "staging".into())],
        synced_at: Some(0),
    }];
    metrics.github_requests("merge".into(), 200, 0);
    metrics.github_limits(1, Some(0), std::time::Duration::ZERO);
    let text = metrics.text(Some(applications));
    let kind = |name: &str| {
        let start = format!("# TYPE {name} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&start))
            .unwrap_or_default()
            .to_string()
    };
    let rows = text.lines().filter_map(|line| {
        let (name, help) = line.strip_prefix("# HELP ")?.split_once(' ')?;
        let kind = kind(name);
        let suffix = if kind == "counter" { "_total" } else { "" };
        Some(format!("| `{name}{suffix}` | {kind} | {} |", cell(help)))
    });
    format!(
        "`GET /metrics` at `--metrics-listen`, in OpenMetrics.\n\n{}",
        table("| name | type | counts |", rows)
    )
}
