//! What counts as a difference, and what of a Secret is shown.

use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn t08_t20_what_the_server_and_admission_fill_in_is_no_difference() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (number, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    // Defaults, the controller's annotation and status are all there on the live object, and none
    // of it is in the way.
    has(
        &text,
        &[
            "changed +1 −1",
            "-      - image: lab:1\n+      - image: lab:2",
        ],
    );
    has_not(
        &text,
        &[
            "deployment.kubernetes.io/revision",
            "+status",
            "would revert",
        ],
    );
    lab.merge(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t09_status_in_a_manifest_changes_nothing() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let with = format!("{}status: {{replicas: 9}}\n", deployment("", ""));
    let (number, text) = lab
        .change("status", &[("deployment.yaml", Some(&with))])
        .await;
    has(&text, &["the cluster stays as it is"]);
    lab.merge(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_t11_ports_without_protocol_and_what_is_there_twice() {
    let lab = Lab::with(&[(
        "deployment.yaml",
        &deployment("", "          ports: [{containerPort: 80}]\n"),
    )])
    .await;
    let both = deployment(
        "",
        "          ports: [{containerPort: 80, name: web}, {containerPort: 81}]\n",
    );
    let (number, text) = lab
        .change("ports", &[("deployment.yaml", Some(&both))])
        .await;
    has(&text, &["containerPort: 81", "name: web"]);
    lab.merge(number, "success").await;
    let live = lab.deployment().await;
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["ports"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let twice = deployment(
        "",
        "          env: [{name: A, value: '1'}, {name: A, value: '2'}]\n",
    );
    let (_, text) = lab
        .change("twice", &[("deployment.yaml", Some(&twice))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "duplicate entries for key [name=\"A\"]",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_list_without_keys_is_said_to_be_replaced_whole() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}lists.example", lab.world.prefix);
    lab.may_write(&group, "routes");
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: routes.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Route, plural: routes}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{rules: {{type: array, items: {{type: object, properties: {{host: {{type: string}}, weight: {{type: integer}}}}}}}}}}}}}}}}}}}}]\n"
    );
    let route = |rules: &str| {
        format!(
            "apiVersion: {group}/v1\nkind: Route\nmetadata: {{name: lab}}\nspec: {{rules: [{rules}]}}\n"
        )
    };
    let (number, _) = lab
        .change(
            "first",
            &[
                ("definition.yaml", Some(&definition)),
                ("route.yaml", Some(&route("{host: a}"))),
            ],
        )
        .await;
    lab.merge(number, "success").await;
    let (number, text) = lab
        .change(
            "second",
            &[("route.yaml", Some(&route("{host: a}, {host: b}")))],
        )
        .await;
    has(&text, &["+  - host: b"]);
    has_not(&text, &["replaces the whole list"]);
    let theirs = route("{host: theirs}").replace("name: lab", "name: other");
    lab.with_file(&["create"], &theirs);
    let (_, text) = lab
        .change(
            "third",
            &[(
                "other.yaml",
                Some(&theirs.replace("host: theirs", "host: ours")),
            )],
        )
        .await;
    has(
        &text,
        &[
            "replaces the whole list, including entries that others added: `.spec.rules`",
            "-  - host: theirs",
            "+  - host: ours",
        ],
    );
    lab.merge(number, "success").await;
    let live = async || {
        lab.object(&format!("{group}/v1"), "Route", "routes", "lab")
            .await["spec"]["rules"]
            .clone()
    };
    assert_eq!(live().await, json!([{"host": "a"}, {"host": "b"}]));
    // One item by hand takes the whole list, which is seen, and set back whole.
    lab.kubectl(&[
        "patch",
        &format!("routes.{group}/lab"),
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/spec/rules/-","value":{"host":"mine"}}]"#,
    ]);
    lab.world
        .until("the list is back", async || {
            (live().await == json!([{"host": "a"}, {"host": "b"}])).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t16_quantities_are_equal_however_they_are_written() {
    let lab = Lab::with(&[(
        "deployment.yaml",
        &deployment("", "          resources: {requests: {cpu: '1'}}\n"),
    )])
    .await;
    let (number, text) = lab
        .change(
            "cpu",
            &[(
                "deployment.yaml",
                Some(&deployment(
                    "",
                    "          resources: {requests: {cpu: 1000m}}\n",
                )),
            )],
        )
        .await;
    has(&text, &["the cluster stays as it is"]);
    lab.merge(number, "success").await;
    // An unquoted number where text has to be is refused in the server's words.
    let (_, text) = lab
        .change(
            "number",
            &[(
                "config.yaml",
                Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: number}\ndata: {a: 1}\n"),
            )],
        )
        .await;
    has(&text, &["**1 cannot be applied**", ".data.a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_t18_t19_secrets_tell_keys_and_nothing_else() {
    let secret =
        |fields: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: lab}}\n{fields}");
    let lab = Lab::with(&[(
        "secret.yaml",
        &secret("stringData: {token: CANARY-1, same: CANARY-same, old: CANARY-old}\n"),
    )])
    .await;
    let (number, text) = lab
        .change(
            "rotate",
            &[(
                "secret.yaml",
                Some(&secret(
                    "stringData: {token: CANARY-2, same: CANARY-same, new: CANARY-new}\n",
                )),
            )],
        )
        .await;
    has(
        &text,
        &[
            "-  token: (hidden, old)\n+  token: (hidden, new)",
            "-  old: (hidden)",
            "+  new: (hidden)",
            "   same: (hidden)",
        ],
    );
    lab.merge(number, "success").await;
    let live = lab.object("v1", "Secret", "secrets", "lab").await;
    assert!(
        live["data"].get("old").is_none() && live["data"].get("new").is_some(),
        "{live}"
    );
    // A person's edit of the live one: no more than that it drifted.
    lab.world.kill();
    lab.kubectl(&[
        "patch",
        "secret/lab",
        "--type=merge",
        "-p",
        r#"{"stringData":{"token":"CANARY-guess"}}"#,
    ]);
    let wrong = secret("data: {token: 'CANARY, not base64'}\n");
    let (before, _) = (lab.world.forge.state().requests, ());
    lab.world.start();
    let (_, text) = lab.change("wrong", &[("secret.yaml", Some(&wrong))]).await;
    assert!(lab.world.forge.state().requests > before);
    has(
        &text,
        &["cannot be applied", "the server's message is not shown"],
    );
    let mut all = std::fs::read_to_string(lab.world.windlass.log()).unwrap();
    for number in 1..=3 {
        let head = lab.world.head(number);
        all.push_str(
            &lab.world
                .read(&format!("issues/{number}/comments"))
                .to_string(),
        );
        all.push_str(
            &lab.world
                .read(&format!("commits/{head}/check-runs"))
                .to_string(),
        );
    }
    all.push_str(&lab.world.application("lab.staging").await.to_string());
    for canary in ["CANARY", "Q0FOQVJZ"] {
        assert!(
            !all.contains(canary),
            "{canary} leaked: {}",
            all.split(canary)
                .next()
                .unwrap()
                .chars()
                .rev()
                .take(200)
                .collect::<String>()
        );
    }
}
