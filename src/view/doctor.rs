//! The findings of `windlass doctor` in a terminal: each with what to do about it.

use super::terminal::one_cell;
use crate::domain::finding::{Finding, Severity};

pub fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.severity() {
            Severity::Good => "✓",
            Severity::Advice => "!",
            Severity::Bad => "✗",
        };
        let (what, advice) = self::finding(finding);
        text.push_str(&format!("{mark} {what}\n"));
        if !advice.is_empty() {
            text.push_str(&format!("    {advice}\n"));
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|one| one.severity() == severity)
            .count()
    };
    let (bad, advice) = (count(Severity::Bad), count(Severity::Advice));
    text.push_str(&match (bad, advice) {
        (0, 0) => "\nnothing to mend\n".to_string(),
        (0, advice) => format!("\nwindlass works; {advice} to look at\n"),
        (bad, advice) => format!("\n{bad} to mend, {advice} to look at\n"),
    });
    text
}

/// What was found, and what to do about it; empty: nothing.
pub fn finding(finding: &Finding) -> (String, String) {
    let (what, advice) = words(finding);
    (one_cell(&what), one_cell(&advice))
}

fn words(finding: &Finding) -> (String, String) {
    let good = |what: String| (what, String::new());
    match finding {
        Finding::GitHubAway { why } => (
            format!("GitHub does not answer the App: {why}"),
            "check --github-app-id, the private key, --github-api-url, the clock of this machine, and the way out (proxy, --ca-file)".into(),
        ),
        Finding::App { login } => good(format!("GitHub knows the App as {login}")),
        Finding::MissingPermissions(all) => (
            format!("the App lacks permissions: {}", all.join(", ")),
            "add them in the App's settings on GitHub (Permissions & events); then each account has to accept them".into(),
        ),
        Finding::MissingEvents(all) => (
            format!("the App hears no events: {}", all.join(", ")),
            "subscribe to them in the App's settings on GitHub (Permissions & events); until then they are found by the resync".into(),
        ),
        Finding::NoWebhook => (
            "no webhook secret: GitHub is asked for changes every half minute".into(),
            "give the App a webhook with a secret, and windlass --github-webhook-secret-file, where GitHub can reach windlass".into(),
        ),
        Finding::FailedDeliveries { count, hours } => (
            format!("{count} webhook deliveries failed in the last {hours} h"),
            "the App's page Advanced on GitHub shows the answers; windlass reads what they were about again".into(),
        ),
        Finding::Deliveries => good("no webhook delivery failed lately".into()),
        Finding::NotInstalled { repo } => (
            format!("the App is not installed on {repo}"),
            "install it there (the App's page Install App), or take the repository out of the settings".into(),
        ),
        Finding::NotRead { repo, why } => (
            format!("{repo} cannot be read: {why}"),
            "windlass keeps what it knew until it can be read".into(),
        ),
        Finding::NoConfiguration { repo } => (
            format!("{repo} has no windlass.yaml on its default branch"),
            "`windlass init` in a clone writes one".into(),
        ),
        Finding::InvalidConfiguration { repo, why } => (
            format!("windlass.yaml of {repo} is not valid: {why}"),
            "`windlass validate` in a clone checks it".into(),
        ),
        Finding::Configuration { repo, applications } => {
            good(format!("{repo} has {applications} applications in their stages"))
        }
        Finding::GateNotRequired { repo, branch } => (
            format!("{repo}: people can merge into {branch} whatever windlass/gate says"),
            "add a ruleset for the branch that requires the check windlass/gate from the App".into(),
        ),
        Finding::GateRequired { repo, branch } => {
            good(format!("{repo}: {branch} requires windlass/gate"))
        }
        Finding::RulesNotRead { repo, why } => (
            format!("the rules of {repo} cannot be read: {why}"),
            "what GitHub demands of a merge is only known once it refuses".into(),
        ),
        _ => words_of_clusters(finding),
    }
}

/// The same of clusters, renderers and the clock.
fn words_of_clusters(finding: &Finding) -> (String, String) {
    let good = |what: String| (what, String::new());
    match finding {
        Finding::UnknownCluster { cluster, application } => (
            format!("{application} goes to the cluster {cluster}, which the settings do not have"),
            "add it by --cluster, or mend `cluster` in windlass.yaml".into(),
        ),
        Finding::ClusterAway { cluster, why } => (
            format!("the cluster {cluster} does not answer: {why}"),
            "check its kubeconfig, its address and the network policy".into(),
        ),
        Finding::Cluster { cluster } => good(format!("the cluster {cluster} answers")),
        Finding::NoDefinitions => (
            "the cluster that windlass runs in does not serve windlass.dev/v1alpha1".into(),
            "`windlass crd | kubectl apply -f -`, or install the chart with its definitions".into(),
        ),
        Finding::LacksRight { cluster, namespace, resource } => (
            format!("windlass may not apply {resource} in the namespace {namespace} of {cluster}"),
            "bind the ClusterRole windlass there: `windlass rbac` prints what the settings need".into(),
        ),
        Finding::RefusesDryRuns { cluster, namespace, resource, why } => (
            format!("{resource} in the namespace {namespace} of {cluster} cannot be dry-run: {why}"),
            "previews say what Git would change there, and not what the cluster makes of it: if the webhook changes nothing outside of the object, set `sideEffects: None` or `NoneOnDryRun` in its configuration".into(),
        ),
        Finding::WebhookAway { cluster, namespace, resource, why } => (
            format!("{resource} in the namespace {namespace} of {cluster} can be neither previewed nor applied: {why}"),
            "mend the webhook's service, or take the namespace out of its selector".into(),
        ),
        Finding::Rights { cluster, namespaces } => good(format!(
            "windlass may apply Deployments and ConfigMaps in {namespaces} namespaces of {cluster}"
        )),
        Finding::NoRenderer { why } => (
            format!("renderers do not run in their jail: {why}"),
            "docs/operations.md, Nodes: render in a container of its own, or accept the risk with --render-without-jail".into(),
        ),
        Finding::Unjailed => (
            "renderers are not jailed in this process".into(),
            "right with --renderer, where a container without secrets renders; with --render-without-jail everybody who may open a pull request is trusted".into(),
        ),
        Finding::ClockDiffers { seconds } => (
            format!(
                "this machine's clock is {} s {} GitHub's",
                seconds.abs(),
                if *seconds > 0 { "ahead of" } else { "behind" }
            ),
            "set it by NTP: beyond a minute GitHub refuses the App, and soaks, windows and holds go by this clock".into(),
        ),
        Finding::Renderer => good("kustomize and helm run in their jail".into()),
        // The others are told above.
        _ => good(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_says_what_to_do() {
        let found = [
            Finding::App {
                login: "windlass[bot]".into(),
            },
            Finding::GateNotRequired {
                repo: "acme/config".parse().unwrap(),
                branch: "main".into(),
            },
            Finding::NoDefinitions,
        ];
        insta::assert_snapshot!(findings(&found), @"
        ✓ GitHub knows the App as windlass[bot]
        ! acme/config: people can merge into main whatever windlass/gate says
            add a ruleset for the branch that requires the check windlass/gate from the App
        ✗ the cluster that windlass runs in does not serve windlass.dev/v1alpha1
            `windlass crd | kubectl apply -f -`, or install the chart with its definitions

        1 to mend, 1 to look at
        ");
    }
}
