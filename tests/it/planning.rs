//! `windlass plan`: the preview of a pull request, from a working copy.

use std::process::Command;

use serde_json::Value;

use crate::support::commands::git;
use crate::support::lab::{CONFIG, Lab, deployment, has};
use crate::support::plane;

/// The command's output and exit code.
fn plan(lab: &Lab, folder: &std::path::Path, arguments: &[&str]) -> (String, i32) {
    let kustomize = plane().tools().program("kustomize").unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args([
            "plan",
            "--repo",
            folder.to_str().unwrap(),
            "--namespace",
            &lab.world.home(),
            "--kustomize",
            kustomize.to_str().unwrap(),
        ])
        .args(arguments)
        .env("KUBECONFIG", plane().kubeconfig())
        .env_remove("CI")
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    (text, said.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_plan_without_github() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("deployment.yaml", &deployment("", "")),
    ])
    .await;
    lab.world.quiet().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("config");
    git(
        home.path(),
        &[
            "clone",
            "-q",
            lab.world
                .forge
                .repository_path("acme", "config")
                .to_str()
                .unwrap(),
            "config",
        ],
    );
    git(&folder, &["checkout", "-q", "-b", "change"]);
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 0, "nothing changes yet: {text}");
    let file = folder.join("apps/lab/staging/deployment.yaml");
    std::fs::write(&file, deployment("", "").replace("lab:1", "lab:2")).unwrap();
    git(&folder, &["commit", "-qam", "An image"]);
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &[
            "1 changed",
            "lab/staging on local",
            "changed Deployment",
            "    -      - image: lab:1\n    +      - image: lab:2",
        ],
    );
    // What the pull request says of the same change, word for word but for times.
    let (number, comment) = lab
        .change(
            "change",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("lab:1", "lab:2")),
            )],
        )
        .await;
    let (markdown, _) = plan(&lab, &folder, &["--output", "markdown"]);
    let details = |text: &str| {
        text.lines()
            // Nothing is merged where there is no GitHub.
            .filter(|line| !line.is_empty() && !line.starts_with("**Needs "))
            .filter(|line| !line.starts_with("<!--") && !line.starts_with("<sub>"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(details(&lab.world.scrub(&markdown)), details(&comment));
    let (json, _) = plan(
        &lab,
        &folder,
        &["--output", "json", "--application", "lab/staging"],
    );
    let read: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["applications"][0]["changes"][0]["action"], "configure");
    let check = lab.world.previewed(number).await;
    assert!(
        check["external_id"]
            .as_str()
            .unwrap()
            .starts_with(read["digest"].as_str().unwrap()),
        "the plan digests are the same"
    );
    std::fs::write(
        &file,
        deployment("", "").replace("replicas: 2", "replicas: -1"),
    )
    .unwrap();
    git(&folder, &["commit", "-qam", "A mistake"]);
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 2, "{text}");
    has(
        &text,
        &[
            "cannot be applied",
            "must be greater than or equal to 0",
            "(apps/lab/staging/deployment.yaml:1)",
        ],
    );
    // The working copy as it is, with what is not committed and what is new.
    git(&folder, &["checkout", "-q", "HEAD~1"]);
    std::fs::write(&file, deployment("", "").replace("lab:1", "lab:3")).unwrap();
    std::fs::write(
        folder.join("apps/lab/staging/more.yaml"),
        CONFIG.replace("name: lab", "name: more"),
    )
    .unwrap();
    std::fs::write(folder.join(".gitignore"), "*.log\n").unwrap();
    std::fs::write(folder.join("apps/lab/staging/noise.log"), "noise").unwrap();
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 1, "{text}");
    has(
        &text,
        &[
            "note: the plan includes uncommitted changes: .gitignore, apps/lab/staging/deployment.yaml, apps/lab/staging/more.yaml\n",
        ],
    );
    has(&text, &["1 created", "lab:3"]);
    let (text, code) = plan(&lab, &folder, &["--head", "HEAD", "--base", "main"]);
    assert_eq!((code, text.contains("lab:3")), (1, false), "{text}");
    // What a working copy has from Git LFS is not what the server would read.
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n";
    let more = folder.join("apps/lab/staging/more.yaml");
    std::fs::write(&more, pointer).unwrap();
    git(&folder, &["add", "apps/lab/staging/more.yaml"]);
    git(&folder, &["commit", "-qm", "LFS"]);
    std::fs::write(&more, CONFIG.replace("name: lab", "name: more")).unwrap();
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 2, "{text}");
    has(&text, &["apps/lab/staging/more.yaml is in Git LFS"]);
    git(&folder, &["reset", "-q", "--hard", "HEAD~1"]);
    std::fs::write(&file, deployment("", "").replace("lab:1", "lab:3")).unwrap();
    let (text, code) = plan(&lab, &folder, &["--head", "nowhere"]);
    assert_eq!(code, 2);
    has(&text, &["`nowhere` is not a branch or commit"]);
    // Another repository is never taken for the one that windlass knows; nor is a pattern that
    // matches nothing passed over.
    git(
        &folder,
        &[
            "remote",
            "set-url",
            "origin",
            "https://github.com/acme/other.git",
        ],
    );
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 2);
    has(
        &text,
        &[
            "origin is acme/other, and windlass manages acme/config in this cluster: plan it all the same with --repository acme/other",
        ],
    );
    assert_eq!(plan(&lab, &folder, &["--repository", "acme/config"]).1, 1);
    let catalog = std::fs::read_to_string(folder.join("windlass.yaml")).unwrap();
    let rule = "applications:\n  - path: ap/{application}/{stage}\n    namespace: x\n";
    std::fs::write(
        folder.join("windlass.yaml"),
        catalog.replacen("applications:\n", rule, 1),
    )
    .unwrap();
    let (text, code) = plan(&lab, &folder, &["--repository", "acme/config"]);
    assert_eq!(code, 2);
    has(
        &text,
        &["`ap/{application}/{stage}` matches no directory; the nearest is `apps/"],
    );
    // What the change itself breaks comes first.
    git(
        &folder,
        &["commit", "--quiet", "--all", "--message", "For later"],
    );
    std::fs::write(folder.join("windlass.yaml"), "version: 1\nstage: {}\n").unwrap();
    let of_head = ["--repository", "acme/config", "--base", "HEAD"];
    let (text, code) = plan(&lab, &folder, &of_head);
    assert_eq!(code, 2);
    has(&text, &["did you mean `stages`?"]);
}

/// What actions/checkout leaves: a clone of one commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_says_what_it_lacks() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("config");
    let from = lab.world.forge.repository_path("acme", "config");
    let from = format!("file://{}", from.display());
    git(
        home.path(),
        &["clone", "-q", "--depth", "1", &from, "config"],
    );
    git(&folder, &["checkout", "-q", "-b", "change"]);
    let file = folder.join("apps/lab/staging/config.yaml");
    std::fs::write(&file, CONFIG.replace("'1'", "'2'")).unwrap();
    git(&folder, &["commit", "-qam", "A value"]);
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 1, "the base is there: {text}");
    has(&text, &["1 changed"]);
    for word in ["one", "two"] {
        lab.world.commit("More", &[("README.md", Some(word))]);
    }
    git(
        &folder,
        &[
            "fetch",
            "-q",
            "--depth",
            "1",
            "origin",
            "main:refs/remotes/origin/main",
            "--force",
        ],
    );
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 2, "{text}");
    insta::assert_snapshot!(text, @"windlass: the clone is shallow: it lacks the commits that this depends on. Fetch them by `git fetch --unshallow`; with actions/checkout, set `fetch-depth: 0`");
    git(&folder, &["fetch", "-q", "--unshallow", "origin"]);
    let (text, code) = plan(&lab, &folder, &[]);
    assert_eq!(code, 1, "{text}");
    has(&text, &["1 changed", "2 commits behind"]);
}
