//! Previews at the sizes that people have, as the forge's page shows them in a
//! browser: `make bench BENCH=looks` leaves pictures in `target/bench/looks`.
//! They are for looking at; nothing is asserted but that the comment is there.

use std::process::Command;

use crate::support::{Setup, World};

fn config(name: &str, value: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{greeting: \"{value}\"}}\n"
    )
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: app, image: \"{image}\"}}]}}\n"
    )
}

pub async fn looks() {
    let world = World::asleep(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let space = |app: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n",
            world.namespace(&format!("{app}-staging"))
        )
    };
    let apps = [
        "billing", "catalog", "checkout", "emails", "payments", "search",
    ];
    let many = |value: &str| -> Vec<(String, String)> {
        apps.iter()
            .map(|app| {
                let objects: String = (0..5)
                    .map(|n| {
                        config(&format!("{app}-{n}"), value)
                            + &deployment(&format!("{app}-{n}"), &format!("{app}:{value}"))
                    })
                    .collect();
                (
                    format!("apps/{app}/staging/all.yaml"),
                    space(app) + &objects,
                )
            })
            .collect()
    };
    let huge = |value: &str| {
        (0..3_000)
            .map(|n| config(&format!("object-{n:04}"), value))
            .collect::<String>()
    };
    let mut files = many("1");
    files.push((
        "apps/huge/staging/all.yaml".into(),
        space("huge") + &huge("1"),
    ));
    let text: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world.commit("Many", &text);
    world.start();
    crate::measures::synced(&world, &commit).await;
    world.settled().await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("bench/looks");
    std::fs::create_dir_all(&folder).unwrap();
    let hostile = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hostile\n  annotations:\n    a: \"@acme/everyone fixes #1 </details></summary><script>alert(1)</script>\"\n    b: \"```\\n<!-- windlass:sticky final x -->\\n````\\n| a | b |\"\n  labels: {c: \"x\"}\ndata: {a: \"<img src=x onerror=alert(1)> \\u202egnp.exe\"}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused}\ndata: {\"<img src=x onerror=alert(1)>\": x}\n";
    let one: Vec<(String, String)> = vec![many("1")[0].clone()]
        .into_iter()
        .map(|(path, text)| (path, text.replacen("billing:1", "billing:2", 1)))
        .collect();
    let forty: Vec<_> = many("2");
    let three_thousand = vec![(
        "apps/huge/staging/all.yaml".to_string(),
        space("huge") + &huge("2"),
    )];
    let hostile = vec![(
        "apps/billing/staging/hostile.yaml".to_string(),
        hostile.to_string(),
    )];
    for (name, files) in [
        ("one", one),
        ("forty", forty),
        ("three-thousand", three_thousand),
        ("hostile", hostile),
    ] {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let number = world.propose("bob", name, &files);
        crate::measures::wait(std::time::Duration::from_secs(120), async || {
            !world.comments(number).is_empty()
        })
        .await;
        world.previewed(number).await;
        let body = world.comments(number)[0]["body"]
            .as_str()
            .unwrap()
            .to_string();
        std::fs::write(folder.join(format!("{name}.md")), &body).unwrap();
        let url = format!(
            "{}/acme/config/pull/{number}",
            world.forge.api_url().replace("/api/v3", "")
        );
        for (size, window) in [("wide", "1280,1400"), ("phone", "390,1400")] {
            let picture = folder.join(format!("{name}-{size}.png"));
            let _ = Command::new("chromium")
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--hide-scrollbars",
                    &format!("--window-size={window}"),
                ])
                .arg(format!("--screenshot={}", picture.display()))
                .arg(&url)
                .output();
        }
        println!("{name}: {} bytes", body.len());
    }
}
