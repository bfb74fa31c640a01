//! What a directory may hold beside plain manifests, and what is said of what it may not.

use http::Method;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::lab::{CONFIG, Lab, has, has_not};

const DASHBOARD: &str = "{\"title\": \"Requests\", \"panels\": [{\"type\": \"graph\"}]}\n";
const MORE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: b}\n";
const EXTRA: &str = "resources: [more.yaml]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_manifest_is_named_with_a_way_to_leave_it_out() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let advice = [
        "apps/lab/staging/dashboards/requests.json: a document has no apiVersion",
        "leave it out: by `exclude: [apps/lab/staging/dashboards/requests.json]` in windlass.yaml",
    ];
    let dashboard = ("dashboards/requests.json", Some(DASHBOARD));
    let (_, text) = lab.change("plain", &[dashboard]).await;
    has(&text, &advice);
    // With a kustomization below, kustomize would say it in its own words.
    let more = [
        dashboard,
        ("extra/kustomization.yaml", Some(EXTRA)),
        ("extra/more.yaml", Some(MORE)),
    ];
    let (_, text) = lab.change("extra", &more).await;
    has(&text, &advice);
    has_not(&text, &["accumulating"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_is_not_read() {
    let files = [
        ("config.yaml", CONFIG),
        ("dashboards/requests.json", DASHBOARD),
        ("extra/kustomization.yaml", EXTRA),
        ("extra/more.yaml", MORE),
    ];
    let lab = Lab::ruled("    exclude: ['*/staging/dashboards']\n", &files).await;
    let more = lab.object("v1", "ConfigMap", "configmaps", "more").await;
    assert_eq!(more["data"], json!({"a": "b"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_object_is_named_and_hides_no_other() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let secret = "apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: 'ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]'}
sops: {mac: 'ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]', lastmodified: '2026-01-01T00:00:00Z', version: 3.9.0}
";
    let other = CONFIG.replace("'1'", "'2'");
    let files = [
        ("keys.enc.yaml", Some(secret)),
        ("config.yaml", Some(other.as_str())),
    ];
    let (_, text) = lab.change("keys", &files).await;
    has(
        &text,
        &[
            "it is encrypted with SOPS, and this project has no age key",
            "(apps/lab/staging/keys.enc.yaml:1)",
            "+  a: '2'",
        ],
    );
    has_not(&text, &["the server's message", "AES256"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_patch_may_stand_on_one_line() {
    let world = World::new().await;
    let path = "apps/shop/staging/kustomization.yaml";
    let patch = "{\"apiVersion\": \"apps/v1\", \"kind\": \"Deployment\", \"metadata\": {\"name\": \"shop\"}, \"spec\": {\"replicas\": 3}}";
    let text = world.file(path);
    let text = format!("{text}patchesStrategicMerge:\n  - '{patch}'\n");
    let number = world.propose("bob", "patch", &[(path, Some(&text))]);
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &["1 changed", "-  replicas: 2", "+  replicas: 3"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_that_stands_twice_the_last_value_counts_with_a_warning() {
    let twice =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata:\n  a: one\n  a: two\n";
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (_, text) = lab.change("twice", &[("twice.yaml", Some(twice))]).await;
    has(
        &text,
        &[
            "1 created",
            "+  a: two",
            "A key stands twice in one mapping, and the last value counts, as with kubectl: `apps/lab/staging/twice.yaml:6: a`.",
        ],
    );
    // In a chart, the template is named.
    let files = [
        ("config.yaml", None),
        ("namespace.yaml", None),
        (
            "Chart.yaml",
            Some("apiVersion: v2\nname: lab\nversion: 0.1.0\n"),
        ),
        ("templates/twice.yaml", Some(twice)),
    ];
    let (_, text) = lab.change("chart", &files).await;
    has(&text, &["as with kubectl: `lab/templates/twice.yaml: a`."]);
    // kustomize refuses it, without the file.
    let files = [
        ("kustomization.yaml", Some("resources: [twice.yaml]\n")),
        ("twice.yaml", Some(twice)),
    ];
    let (_, text) = lab.change("kustomize", &files).await;
    has(
        &text,
        &[
            "apps/lab/staging/twice.yaml:6: `a` stands twice in one mapping, which kustomize refuses: leave one of them out",
        ],
    );
    has_not(&text, &["unmarshal"]);
}

/// A pull request of files and symbolic links: `(mode, path, content)`.
fn propose(world: &World, branch: &str, entries: &[(&str, &str, &str)]) -> u64 {
    let tip = world.tip();
    let base = world.read(&format!("git/commits/{tip}"))["tree"]["sha"].clone();
    let post = |path: &str, body: Value| world.as_user("bob", Method::POST, path, body);
    let tree: Vec<_> = entries
        .iter()
        .map(|(mode, path, content)| {
            json!({"path": path, "mode": mode, "type": "blob", "content": content})
        })
        .collect();
    let tree = post("git/trees", json!({"base_tree": base, "tree": tree}))["sha"].clone();
    let commit = json!({"message": branch, "tree": tree, "parents": [tip]});
    let commit = post("git/commits", commit)["sha"].clone();
    let reference = json!({"ref": format!("refs/heads/{branch}"), "sha": commit});
    post("git/refs", reference);
    let pull = json!({"title": branch, "head": branch, "base": "main"});
    post("pulls", pull)["number"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_directories_are_followed_inside_the_repository() {
    let world = World::new().await;
    for name in ["linked-staging", "chart-staging"] {
        world.kubectl(&["create", "namespace", &world.namespace(name)]);
    }
    let (file, link) = ("100644", "120000");
    let more = MORE.replace("name: more", "name: beside");
    let template = MORE.replace("name: more", "name: {{ .Chart.Name }}");
    let entries = [
        (
            file,
            "apps/linked/staging/kustomization.yaml",
            "resources: [../base]\n",
        ),
        (link, "apps/linked/base", "../../shared/here"),
        (link, "shared/here", "deep/base"),
        // As seen from where it really is.
        (
            file,
            "shared/deep/base/kustomization.yaml",
            "resources: [more.yaml, ../beside]\n",
        ),
        (file, "shared/deep/base/more.yaml", MORE),
        (file, "shared/deep/beside/kustomization.yaml", EXTRA),
        (file, "shared/deep/beside/more.yaml", &more),
        (
            file,
            "apps/chart/staging/Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies: [{name: dep, version: 0.1.0}]\n",
        ),
        (
            link,
            "apps/chart/staging/charts/dep",
            "../../../../charts/dep",
        ),
        (
            file,
            "charts/dep/Chart.yaml",
            "apiVersion: v2\nname: dep\nversion: 0.1.0\n",
        ),
        (file, "charts/dep/templates/more.yaml", &template),
    ];
    let number = propose(&world, "links", &entries);
    let check = world.previewed(number).await;
    let said = world.conversation(number);
    assert_eq!(check["conclusion"], "success", "{said}");
    has(
        &said,
        &[
            "linked-staging/more",
            "linked-staging/beside",
            "chart-staging/dep",
        ],
    );
    for (branch, target, expected) in [
        (
            "out",
            "../../../etc",
            "apps/linked/base is a symbolic link that leads out of the repository (../../../etc)",
        ),
        (
            "nowhere",
            "base",
            "apps/linked/base is a symbolic link that leads nowhere",
        ),
    ] {
        let mut entries = entries;
        entries[1].2 = target;
        let number = propose(&world, branch, &entries);
        assert_eq!(world.previewed(number).await["conclusion"], "failure");
        has(&world.conversation(number), &[expected]);
    }
    let number = propose(
        &world,
        "round",
        &[
            (
                file,
                "apps/chart/staging/Chart.yaml",
                "apiVersion: v2\nname: web\nversion: 0.1.0\n",
            ),
            (link, "apps/chart/staging/charts", "."),
        ],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(
        &world.conversation(number),
        &["apps/chart/staging/charts is a symbolic link to a directory that it is in"],
    );
}
