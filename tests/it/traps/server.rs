//! What the API server refuses, fills in, warns of, or does not know yet.

use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelled_field_is_told_at_its_line_with_the_one_that_was_meant() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let wrong = deployment("", "").replace("replicas: 2", "replicsa: 3");
    assert!(wrong.contains("replicsa"), "{wrong}");
    let line = 1 + wrong
        .lines()
        .position(|line| line.contains("replicsa"))
        .unwrap();
    let (number, text) = lab
        .change("typo", &[("deployment.yaml", Some(&wrong))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            ".spec.replicsa: field not declared in schema",
            &format!("(apps/lab/staging/deployment.yaml:{line})"),
            "did you mean .spec.replicas?",
        ],
    );
    let head = lab.world.head(number);
    let state = lab.world.forge.state();
    let checks = &state.by_full_name("acme/config").unwrap().checks;
    let preview = |check: &&windlass::sandbox::forge::state::CheckRun| {
        check.sha == head && check.name == "windlass/preview"
    };
    let annotations = &checks.iter().rev().find(preview).unwrap().annotations;
    let [annotation] = &annotations[..] else {
        panic!("{annotations:?}")
    };
    assert_eq!(
        (
            &annotation["path"],
            &annotation["start_line"],
            &annotation["annotation_level"]
        ),
        (
            &json!("apps/lab/staging/deployment.yaml"),
            &json!(line),
            &json!("failure")
        )
    );
    has(
        annotation["message"].as_str().unwrap(),
        &["did you mean .spec.replicas?"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t03_a_custom_resource_is_judged_by_the_definition_that_comes_with_it() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}lab.example", lab.world.prefix);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}}\n  versions:\n    - name: v1\n      served: true\n      storage: true\n      schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, required: [size], properties: {{size: {{type: integer}}, color: {{type: string, default: red}}}}}}}}}}}}\n"
    );
    lab.may_write(&group, "widgets");
    // Its validation rules count too.
    let ruled = definition.replace(
        "spec: {type: object, required",
        "spec: {type: object, x-kubernetes-validations: [{rule: 'self.size < 10', message: too big}], required",
    );
    let widget = |spec: &str| {
        format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: lab}}\nspec: {spec}\n")
    };
    let (_, text) = lab
        .change(
            "wrong",
            &[
                ("definition.yaml", Some(&definition)),
                ("widget.yaml", Some(&widget("{sise: 1}"))),
            ],
        )
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "unknown field \"spec.sise\"; .spec.size: Required value",
            "(apps/lab/staging/widget.yaml:4)",
        ],
    );
    let (_, text) = lab
        .change(
            "big",
            &[
                ("definition.yaml", Some(&ruled)),
                ("widget.yaml", Some(&widget("{size: 11}"))),
            ],
        )
        .await;
    has(
        &text,
        &["**1 cannot be applied**", "spec: Invalid value: too big"],
    );
    // One that would take the process down, were it evaluated in it.
    let endless = format!("'{} > 0'", vec!["1"; 20_000].join("+"));
    let hostile = ruled.replace("'self.size < 10'", &endless);
    let (_, text) = lab
        .change(
            "hostile",
            &[
                ("definition.yaml", Some(&hostile)),
                ("widget.yaml", Some(&widget("{size: 1}"))),
            ],
        )
        .await;
    has(
        &text,
        &[
            "cannot be applied**",
            "the validation rules of its definition cannot be evaluated in time",
        ],
    );
    assert!(lab.world.is_running());
    let (number, text) = lab
        .change(
            "right",
            &[
                ("definition.yaml", Some(&definition)),
                ("widget.yaml", Some(&widget("{size: 1}"))),
            ],
        )
        .await;
    has(
        &text,
        &[
            "partly verified",
            "◐ estimate: its kind comes with this change",
            "+  color: red",
        ],
    );
    lab.merge(number, "success").await;
    let live = lab
        .object(&format!("{group}/v1"), "Widget", "widgets", "lab")
        .await;
    assert_eq!(live["spec"], json!({"size": 1, "color": "red"}));
    // Now the definition and its object change together.
    let grown = definition.replace(
        "size: {type: integer}",
        "size: {type: integer}, shape: {type: string}",
    );
    let (number, text) = lab
        .change(
            "grown",
            &[
                ("definition.yaml", Some(&grown)),
                ("widget.yaml", Some(&widget("{size: 1, shape: round}"))),
            ],
        )
        .await;
    has(
        &text,
        &[
            "its definition changes with it: checked against the new one",
            "+  shape: round",
        ],
    );
    lab.merge(number, "success").await;
    let live = lab
        .object(&format!("{group}/v1"), "Widget", "widgets", "lab")
        .await;
    assert_eq!(live["spec"]["shape"], "round");
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_an_immutable_field_is_told_from_a_mistake() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let before = lab.deployment().await["metadata"]["uid"].clone();
    let moved = deployment("", "").replace("app: lab", "app: other");
    let (_, text) = lab
        .change("moved", &[("deployment.yaml", Some(&moved))])
        .await;
    has(
        &text,
        &[
            "field is immutable",
            "can only be deleted and created again",
            "windlass.dev/recreate: ",
        ],
    );
    let permission = text
        .split("windlass.dev/recreate: ")
        .nth(1)
        .unwrap()
        .split('`')
        .next()
        .unwrap()
        .to_string();
    let unnamed = moved.replace(
        "metadata: {name: lab}",
        "metadata: {name: lab, annotations: {windlass.dev/recreate: allow}}",
    );
    let (_, text) = lab
        .change("unnamed", &[("deployment.yaml", Some(&unnamed))])
        .await;
    has(&text, &["can only be deleted and created again"]);
    let wrong = moved.replace("replicas: 2", "replicas: -1");
    let (_, text) = lab
        .change("wrong", &[("deployment.yaml", Some(&wrong))])
        .await;
    has(&text, &["must be greater than or equal to 0"]);
    has_not(&text, &["created again"]);
    let allowed = moved
        .replace(
            "metadata: {name: lab}",
            "metadata: {name: lab, annotations: {windlass.dev/recreate: 'PERMISSION'}}",
        )
        .replace("PERMISSION", &permission);
    let (number, text) = lab
        .change("allowed", &[("deployment.yaml", Some(&allowed))])
        .await;
    has(
        &text,
        &[
            "1 recreated",
            "Deletes and recreates `Deployment lab-staging/lab`",
            "stops its 2 pods before new ones start",
        ],
    );
    lab.merge(number, "success").await;
    let after = lab.deployment().await;
    assert_eq!(after["spec"]["selector"]["matchLabels"]["app"], "other");
    assert_ne!(after["metadata"]["uid"], before);
}

/// A default of the server has no owner: beside another choice it would be refused, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_git_rules_out_is_taken_out() {
    let stateful = |strategy: &str| {
        let text = deployment(strategy, "")
            .replace("kind: Deployment", "kind: StatefulSet")
            .replace("image: lab:1", "image: set:1");
        text.replace("metadata: {name: lab}", "metadata: {name: set}")
            .replace("app: lab", "app: set")
    };
    let probe = |handler: &str| {
        format!(
            "          readinessProbe: {{{handler}}}\n          volumeMounts: [{{name: v, mountPath: /a}}, {{name: v, mountPath: /b}}]\n"
        )
    };
    let volume = |source: &str| format!("      volumes: [{{name: v, {source}}}]\n");
    let first = deployment("  strategy: {}\n", &probe("httpGet: {path: /, port: 80}"))
        + &volume("configMap: {name: lab}");
    let lab = Lab::with(&[
        ("deployment.yaml", &first),
        ("set.yaml", &stateful("")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let uid = lab.deployment().await["metadata"]["uid"].clone();
    let chosen = deployment(
        "  strategy: {type: Recreate}\n",
        &probe("tcpSocket: {port: 80}"),
    ) + &volume("emptyDir: {}");
    let set = stateful("  updateStrategy: {type: OnDelete}\n");
    let (number, text) = lab
        .change(
            "chosen",
            &[("deployment.yaml", Some(&chosen)), ("set.yaml", Some(&set))],
        )
        .await;
    has(
        &text,
        &["type: Recreate", "type: OnDelete", "tcpSocket", "emptyDir"],
    );
    has_not(&text, &["created again"]);
    lab.merge(number, "success").await;
    let live = lab.deployment().await;
    assert_eq!(live["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(
        live["spec"]["template"]["spec"]["volumes"],
        json!([{"name": "v", "emptyDir": {}}])
    );
    assert_eq!(live["metadata"]["uid"], uid);
    assert_eq!(
        lab.object("apps/v1", "StatefulSet", "statefulsets", "set")
            .await["spec"]["updateStrategy"],
        json!({"type": "OnDelete"})
    );
    let (number, text) = lab
        .change(
            "back",
            &[
                ("deployment.yaml", Some(&first)),
                ("set.yaml", Some(&stateful(""))),
            ],
        )
        .await;
    has(&text, &["type: RollingUpdate", "maxSurge: 25%"]);
    lab.merge(number, "success").await;
    assert_eq!(
        lab.deployment().await["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
        "25%"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_a_name_that_the_server_would_make_up_is_refused_with_the_reason() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: lab-}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}\n";
    let (_, text) = lab.change("job", &[("job.yaml", Some(job))]).await;
    has(&text, &["only a hook may use generateName"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t22_a_kind_that_was_installed_meanwhile_is_known() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}late.example", lab.world.prefix);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gadgets.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Gadget, plural: gadgets}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]\n"
    );
    let gadget = format!("apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: lab}}\n");
    let (_, text) = lab.change("early", &[("gadget.yaml", Some(&gadget))]).await;
    has(
        &text,
        &[
            "the cluster serves no Gadget",
            "install its CustomResourceDefinition first",
        ],
    );
    lab.with_file(&["apply"], &definition);
    lab.may_write(&group, "gadgets");
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/gadgets.{group}"),
        "--timeout=20s",
    ]);
    lab.world.quiet().await;
    let (number, text) = lab.change("late", &[("gadget.yaml", Some(&gadget))]).await;
    has(&text, &["1 created", "verified by the cluster"]);
    lab.merge(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t23_a_server_with_too_much_to_do_is_asked_more_slowly() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let many = |value: &str| {
        (0..40)
            .map(|n| {
                format!(
                    "---\n{}",
                    CONFIG
                        .replace("name: lab", &format!("name: c{n}"))
                        .replace("'1'", value)
                )
            })
            .collect::<String>()
    };
    let (number, _) = lab
        .change("many", &[("many.yaml", Some(&many("'1'")))])
        .await;
    lab.merge(number, "success").await;
    lab.world.proxy.be_busy(30);
    let (number, text) = lab
        .change("busy", &[("many.yaml", Some(&many("'2'")))])
        .await;
    has(&text, &["40 changed", "verified by the cluster"]);
    assert_eq!(lab.world.proxy.turned_away(), 30);
    lab.merge(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t24_the_servers_warnings_are_passed_on() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let wanted = deployment("", "      nodeSelector: {beta.kubernetes.io/os: linux}\n");
    let (_, text) = lab
        .change("old", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(&text, &["the server warns: ", "beta.kubernetes.io/os"]);
}
