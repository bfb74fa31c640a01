//! What goes wrong when a change is predicted by server-side apply, trap by
//! trap: what the reviewer reads, and what the sync then does. The list is in
//! `docs/traps.md`.

use http::Method;
use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn t01_a_field_that_another_manager_holds_is_not_taken_unseen() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"minReadySeconds":3}}"#,
    ]);
    let wanted = deployment("  minReadySeconds: 1\n", "");
    let (number, text) = lab
        .change("claim", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            ".spec.minReadySeconds (held by some-operator)",
            "take: [{ path: '.spec.minReadySeconds' }]",
        ],
    );
    let why = lab.merge(number, "failure").await;
    has(&why, &["others hold fields"]);
    assert_eq!(
        lab.deployment().await["spec"]["minReadySeconds"],
        3,
        "nothing was applied"
    );
    // A word in the thread of the next pull request decides it for that field alone ...
    let (next, _) = lab
        .change(
            "again",
            &[("deployment.yaml", Some(&wanted.replace("lab:1", "lab:2")))],
        )
        .await;
    lab.world.comment("bob", next, "/take");
    lab.world
        .until("the field is to be taken", async || {
            lab.world
                .conversation(next)
                .contains("takes `.spec.minReadySeconds`")
                .then_some(())
        })
        .await;
    lab.world
        .until("the field is taken", async || {
            (lab.deployment().await["spec"]["minReadySeconds"] == 1).then_some(())
        })
        .await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"progressDeadlineSeconds":77}}"#,
    ]);
    let more = deployment("  minReadySeconds: 1\n  progressDeadlineSeconds: 99\n", "");
    let (number, text) = lab
        .change("more", &[("deployment.yaml", Some(&more))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            ".spec.progressDeadlineSeconds (held by some-operator)",
        ],
    );
    lab.merge(number, "failure").await;
    // ... and so does a rule decides; the same commit is then applied.
    let catalog = lab.world.file("windlass.yaml");
    let rule = "  - path: apps/{application}/{stage}\n    take: [{ kind: Deployment, path: .spec.progressDeadlineSeconds }]\n";
    let ruled = catalog.replacen("  - path: apps/{application}/{stage}\n", rule, 1);
    lab.world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Take it",
            &[("windlass.yaml", Some(&ruled))],
        )
        .unwrap();
    lab.world
        .until("the field is taken", async || {
            (lab.deployment().await["spec"]["progressDeadlineSeconds"] == 99).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t01_replicas_are_left_to_the_autoscaler_and_a_hand_edit_is_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    // As the controller of HorizontalPodAutoscalers writes: by the scale subresource, under its own name.
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--subresource=scale",
        "--type=merge",
        "--field-manager=kube-controller-manager",
        "-p",
        r#"{"spec":{"replicas":5}}"#,
    ]);
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (number, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(
        &text,
        &[
            "left to others: 1",
            "`.spec.replicas` (`kube-controller-manager`)",
            "+      - image: lab:2",
        ],
    );
    has_not(&text, &["-  replicas: 5"]);
    lab.merge(number, "success").await;
    let live = lab.deployment().await;
    assert_eq!(
        (
            &live["spec"]["replicas"],
            &live["spec"]["template"]["spec"]["containers"][0]["image"]
        ),
        (&json!(5), &json!("lab:2"))
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
            "(apps/lab/staging/widget.yaml:1)",
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
            "◐ simulated: its kind comes with this change",
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
            "can only be deleted and created anew",
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
    has(&text, &["can only be deleted and created anew"]);
    let wrong = moved.replace("replicas: 2", "replicas: -1");
    let (_, text) = lab
        .change("wrong", &[("deployment.yaml", Some(&wrong))])
        .await;
    has(&text, &["must be greater than or equal to 0"]);
    has_not(&text, &["created anew"]);
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
            "1 recreate",
            "Deletes and creates anew `Deployment lab-staging/lab`",
            "its 2 pods end before new ones start",
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
    has_not(&text, &["created anew"]);
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
    has(&text, &["only a hook may have generateName"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_t20_what_the_server_and_admission_fill_in_is_no_difference() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (number, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    // Defaults, the controller's annotation and status are all there on the live object, and none of it is in the way.
    has(
        &text,
        &[
            "configure +1 −1",
            "-      - image: lab:1\n+      - image: lab:2",
        ],
    );
    has_not(
        &text,
        &[
            "deployment.kubernetes.io/revision",
            "+status",
            "would set back",
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
async fn t12_what_kubectl_apply_left_is_adopted_and_goes() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.with_file(
        &["apply"],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left, labels: {old: label}}\ndata: {keep: '1', gone: '2'}\n",
    );
    let wanted = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left}\ndata: {keep: '1'}\n";
    let (number, text) = lab.change("adopt", &[("left.yaml", Some(wanted))]).await;
    has(
        &text,
        &[
            "adoption: takes over, once, what `kubectl-client-side-apply` set",
            "-  gone: '2'",
            "-    old: label",
        ],
    );
    lab.merge(number, "success").await;
    let live = lab.object("v1", "ConfigMap", "configmaps", "left").await;
    assert_eq!(live["data"], json!({"keep": "1"}));
    assert_eq!(
        live["metadata"]["labels"].as_object().unwrap().len(),
        1,
        "{live}"
    );
    // Once: the next change says nothing of it.
    let (_, text) = lab
        .change(
            "next",
            &[("left.yaml", Some(&wanted.replace("'1'", "'3'")))],
        )
        .await;
    has_not(&text, &["adoption"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_a_removed_field_that_another_applies_too_stays_and_is_said_to() {
    let lab = Lab::with(&[(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {a: '1', b: '2'}\n",
    )])
    .await;
    let also = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {b: '2'}\n";
    lab.with_file(
        &["apply", "--server-side", "--field-manager=another-tool"],
        also,
    );
    let (number, text) = lab.change("less", &[("config.yaml", Some(CONFIG))]).await;
    has(
        &text,
        &[
            "stays, since others hold it too: 1",
            "`.data.b` (`another-tool`)",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["b"],
        "2"
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
    has_not(&text, &["the whole list is replaced"]);
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
            "the whole list is replaced, with what others put into it: `.spec.rules`",
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

/// What is owned is recorded under the API version that it was applied by. When that is served no more the API server
/// forgets who owned what: a field that Git drops would stay.
#[tokio::test(flavor = "multi_thread")]
async fn t15_what_is_owned_under_a_version_that_is_gone_is_carried_over() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}versions.example", lab.world.prefix);
    lab.may_write(&group, "things");
    let version = |name: &str, served: bool, storage: bool| {
        format!(
            "{{name: {name}, served: {served}, storage: {storage}, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}}}}"
        )
    };
    let definition = |versions: &[String]| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions: [{}]\n",
            versions.join(", ")
        )
    };
    let thing = |version: &str, spec: &str| {
        format!(
            "apiVersion: {group}/{version}\nkind: Thing\nmetadata: {{name: lab}}\nspec: {spec}\n"
        )
    };
    lab.with_file(
        &["apply"],
        &definition(&[version("v1alpha1", true, true), version("v1", true, false)]),
    );
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/things.{group}"),
        "--timeout=20s",
    ]);
    let (number, _) = lab
        .change(
            "old",
            &[("thing.yaml", Some(&thing("v1alpha1", "{keep: 1, drop: 2}")))],
        )
        .await;
    lab.merge(number, "success").await;
    // As an upgrade goes: stored by the new version, everything rewritten, the old version gone from the definition.
    lab.with_file(
        &["apply"],
        &definition(&[version("v1alpha1", false, false), version("v1", true, true)]),
    );
    lab.kubectl(&[
        "annotate",
        &format!("things.{group}/lab"),
        "--field-manager=migrator",
        "migrated=yes",
    ]);
    let stored = r#"{"status":{"storedVersions":["v1"]}}"#;
    lab.world.kubectl(&[
        "patch",
        &format!("crd/things.{group}"),
        "--subresource=status",
        "--type=merge",
        "-p",
        stored,
    ]);
    lab.with_file(&["apply"], &definition(&[version("v1", true, true)]));
    lab.world
        .until("the old version is served no more", async || {
            crate::support::plane()
                .kubectl(&["get", "--raw", &format!("/apis/{group}/v1alpha1/things")])
                .is_err()
                .then_some(())
        })
        .await;
    let (number, text) = lab
        .change("new", &[("thing.yaml", Some(&thing("v1", "{keep: 1}")))])
        .await;
    has(
        &text,
        &[
            "-  drop: 2",
            "v1alpha1, which is served no more: it is carried over first",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object(&format!("{group}/v1"), "Thing", "things", "lab")
            .await["spec"],
        json!({"keep": 1})
    );
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
        &["cannot be applied", "the server's words are not shown"],
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

#[tokio::test(flavor = "multi_thread")]
async fn t21_prunes_are_listed_and_a_protected_object_stays() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("plain.yaml", &CONFIG.replace("name: lab", "name: plain")),
        (
            "kept.yaml",
            &CONFIG.replace(
                "name: lab",
                "name: kept\n  annotations: {windlass.dev/prune: never}",
            ),
        ),
    ])
    .await;
    let (number, text) = lab
        .change("less", &[("plain.yaml", None), ("kept.yaml", None)])
        .await;
    has(
        &text,
        &[
            "1 prune",
            "Deletes `ConfigMap lab-staging/plain`.",
            "stays in the cluster: it is marked `windlass.dev/prune: never`",
        ],
    );
    lab.merge(number, "success").await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "plain")
            .await
            .is_null()
    );
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "kept")
            .await
            .is_object()
    );
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
    has(&text, &["1 create", "verified by the cluster"]);
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
    has(&text, &["40 configure", "verified by the cluster"]);
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

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_apart_from_the_change_and_from_what_waits() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    // While windlass may not heal it: a person's rule leaves it alone, so it only shows.
    lab.world.kill();
    lab.kubectl(&[
        "label",
        "configmap/lab",
        "windlass.dev/application-",
        "extra=1",
    ]);
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"hacked"}}"#,
    ]);
    lab.world.start();
    lab.world
        .until("the edit is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (_, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(&text, &["1 configure", "rolls 2 pods"]);
    has_not(&text, &["hacked", "waiting to be synced"]);
    // What is merged and was not synced yet is said, for as long as it is so.
    lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    let merged = CONFIG.replace("'1'", "'2'");
    let files = [("apps/lab/staging/config.yaml", Some(merged.as_str()))];
    lab.world
        .forge
        .push("acme/config", "main", "ada", "Config", &files)
        .unwrap();
    let (number, text) = lab
        .change(
            "next",
            &[("deployment.yaml", Some(&wanted.replace("lab:2", "lab:3")))],
        )
        .await;
    has(&text, &["merged before and waiting to be synced: 1"]);
    lab.world.windlass(&["resume", "lab/staging"]);
    lab.world
        .until("nothing waits any more", async || {
            (!lab
                .world
                .conversation(number)
                .contains("waiting to be synced"))
            .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_fields_are_left_in_the_diff_the_apply_and_drift_alike() {
    let rules = "    ignore: [{ kind: ConfigMap, path: .data.owned }]\n";
    let lab =
        Lab::ruled(rules, &[("config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {a: '1', owned: first}\n")])
            .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["owned"],
        "first",
        "applied once"
    );
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "--field-manager=some-operator",
        "-p",
        r#"{"data":{"owned":"theirs"}}"#,
    ]);
    let wanted =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {a: '2', owned: second}\n";
    let (number, text) = lab.change("both", &[("config.yaml", Some(wanted))]).await;
    has(
        &text,
        &[
            "hidden by rules of windlass.yaml: 1",
            "`.data.owned`",
            "+  a: '2'",
        ],
    );
    has_not(&text, &["second"]);
    lab.merge(number, "success").await;
    let live = lab.object("v1", "ConfigMap", "configmaps", "lab").await;
    assert_eq!(
        (&live["data"]["a"], &live["data"]["owned"]),
        (&json!("2"), &json!("theirs"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_still_keeps_is_refused_by_its_name() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let namespace = lab.namespace();
    lab.kubectl(&["create", "configmap", "chart"]);
    lab.kubectl(&[
        "label",
        "configmap/chart",
        "app.kubernetes.io/managed-by=Helm",
    ]);
    lab.kubectl(&[
        "annotate",
        "configmap/chart",
        "meta.helm.sh/release-name=web",
        &format!("meta.helm.sh/release-namespace={namespace}"),
    ]);
    lab.kubectl(&["create", "secret", "generic", "sh.helm.release.v1.web.v1"]);
    lab.kubectl(&[
        "label",
        "secret/sh.helm.release.v1.web.v1",
        "owner=helm",
        "name=web",
    ]);
    let wanted = CONFIG.replace("name: lab", "name: chart");
    let (_, text) = lab.change("chart", &[("chart.yaml", Some(&wanted))]).await;
    has(
        &text,
        &["is kept by the Helm release lab-staging/web: have that let go of it first"],
    );
    // The release is uninstalled: what it left is adopted.
    lab.kubectl(&["delete", "secret", "sh.helm.release.v1.web.v1"]);
    let (number, text) = lab.change("later", &[("chart.yaml", Some(&wanted))]).await;
    has(&text, &["1 configure"]);
    lab.merge(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_nobody_approved_waits_for_a_confirmation() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    // Approved: the preview listed it, and a writer approved just that head.
    let (number, text) = lab.change("config", &[("config.yaml", None)]).await;
    has(&text, &["1 prune"]);
    lab.merge(number, "success").await;
    // Merged by its author alone: a workload does not go by that.
    let (number, text) = lab.change("workload", &[("deployment.yaml", None)]).await;
    has(
        &text,
        &["Deletes `Deployment lab-staging/lab`.", "its 2 pods end"],
    );
    lab.merge(number, "pending").await;
    let waits = "its deletion waits for a confirmation: `/confirm-prune`, or `windlass confirm-prune lab/staging`";
    lab.world
        .until("the deletion is said to wait", async || {
            lab.world.conversation(number).contains(waits).then_some(())
        })
        .await;
    assert!(lab.deployment().await.is_object());
    lab.world.comment("bob", number, "/confirm-prune");
    lab.world
        .until("the workload is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
    has(
        &lab.world.conversation(number),
        &["> `/confirm-prune`", "deletes `Deployment lab-staging/lab`"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_deletion_needs_no_second_word() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let (number, _) = lab.change("workload", &[("deployment.yaml", None)]).await;
    lab.world.approve("mia", number);
    lab.merge(number, "success").await;
    lab.world
        .until("the workload is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_and_ends_without_github() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let said = lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    has(&said, &["lab/staging is paused for 1h"]);
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    lab.world
        .until("the pause is shown", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            (status["message"].as_str()?.contains("paused until") && status["sync"] == "OutOfSync")
                .then_some(())
        })
        .await;
    has(
        &lab.world.windlass(&["status"]),
        &["lab/staging", "OutOfSync", "paused until"],
    );
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "by hand"
    );
    lab.world.windlass(&["resume", "lab/staging"]);
    lab.world
        .until("the edit is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_changes_nothing_that_was_there_until_it_is_adopted() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let namespace = lab.world.namespace("old-staging");
    lab.world.kubectl(&["create", "namespace", &namespace]);
    lab.world.kubectl(&[
        "-n",
        &namespace,
        "create",
        "configmap",
        "old",
        "--from-literal=a=9",
    ]);
    let files = [(
        "apps/old/staging/config.yaml",
        Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: '1'}\n"),
    )];
    let commit = lab
        .world
        .forge
        .push("acme/config", "main", "ada", "Old", &files)
        .unwrap();
    let why = lab.world.sync_status(&commit, "failure").await;
    has(&why, &["the first sync would change what is there already"]);
    let value = async || {
        lab.world
            .get("v1", "ConfigMap", "configmaps", &namespace, "old")
            .await
            .unwrap()["data"]["a"]
            .clone()
    };
    assert_eq!(value().await, "9");
    lab.world.windlass(&["adopt", "old/staging"]);
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(value().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_may_be_reported_instead_of_set_back() {
    let lab = Lab::ruled("    drift: report\n", &[("config.yaml", CONFIG)]).await;
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    lab.world
        .until("the drift is reported", async || {
            let message = lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .to_string();
            (message.contains("drift is reported, not set back: ConfigMap")
                && message.contains(".data.a changed by kubectl-patch"))
            .then_some(())
        })
        .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "by hand"
    );
    // A change of Git is applied all the same.
    let (number, text) = lab
        .change(
            "more",
            &[("config.yaml", Some(&CONFIG.replace("{a: '1'}", "{a: '2'}")))],
        )
        .await;
    has(
        &text,
        &[
            "would set back changes by others: 1",
            "`.data.a` (`kubectl-patch`)",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_waits_for_what_it_depends_on() {
    let broken = deployment("", "").replace("lab:1", "lab:broken");
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: late\n    path: late/{{stage}}\n    namespace: {}\n    dependsOn: [lab]\n",
        lab.namespace()
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\ndata: {a: '1'}\n";
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("late/staging/config.yaml", Some(late)),
        ("apps/lab/staging/deployment.yaml", Some(broken.as_str())),
    ];
    lab.world
        .forge
        .push("acme/config", "main", "ada", "Late", &files)
        .unwrap();
    lab.world
        .until("it says what it waits for", async || {
            lab.world.application("late.staging").await["status"]["message"]
                .as_str()?
                .contains("waits for lab/staging")
                .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "late")
            .await
            .is_null()
    );
    let mended = deployment("", "").replace("lab:1", "lab:2");
    lab.world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Mended",
            &[("apps/lab/staging/deployment.yaml", Some(&mended))],
        )
        .unwrap();
    lab.world
        .until("it is synced", async || {
            lab.object("v1", "ConfigMap", "configmaps", "late")
                .await
                .is_object()
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_stops_and_names_the_other() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world
        .until("the fight is told", async || {
            let message = lab.world.application("lab.staging").await["status"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            if message.contains("is set back and changed again by some-operator") {
                return Some(());
            }
            lab.kubectl(&[
                "patch",
                "configmap/lab",
                "--type=merge",
                "--field-manager=some-operator",
                "-p",
                r#"{"data":{"a":"mine"}}"#,
            ]);
            None
        })
        .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "mine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_come_one_after_another() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {windlass.dev/wave: '-1'}}\nspec: {template: {metadata: {annotations: {sandbox.windlass/outcome: OUTCOME}}, spec: {restartPolicy: Never, containers: [{name: a, image: migrate}]}}}\n";
    let stuck = job.replace("OUTCOME", "never-ready");
    let (number, _) = lab
        .change(
            "waves",
            &[
                ("job.yaml", Some(&stuck)),
                ("deployment.yaml", Some(&deployment("", ""))),
            ],
        )
        .await;
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("the wave is waited for", async || {
            lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains("wave -1 is not healthy yet: Job migrate")
                .then_some(())
        })
        .await;
    assert!(
        lab.deployment().await.is_null(),
        "the next wave did not begin"
    );
    let done = job
        .replace("migrate, annotations", "migrate-2, annotations")
        .replace("{annotations: {sandbox.windlass/outcome: OUTCOME}}", "{}");
    let (number, _) = lab.change("mended", &[("job.yaml", Some(&done))]).await;
    lab.world.approve("mia", number);
    lab.merge(number, "success").await;
    assert!(lab.deployment().await.is_object());
}

/// Two more applications in the lab's namespace.
async fn with_neighbour(lab: &Lab) {
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: next\n    path: next/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: next}\ndata: {a: '1'}\n";
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("next/staging/config.yaml", Some(other)),
    ];
    let commit = lab
        .world
        .forge
        .push("acme/config", "main", "ada", "A neighbour", &files)
        .unwrap();
    lab.world.sync_status(&commit, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_moves_to_another_application_is_handed_over() {
    let more =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moving}\ndata: {keep: '1', drop: '2'}\n";
    let lab = Lab::with(&[("config.yaml", CONFIG), ("moving.yaml", more)]).await;
    with_neighbour(&lab).await;
    let before = lab.object("v1", "ConfigMap", "configmaps", "moving").await;
    let there = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moving}\ndata: {keep: '1'}\n";
    let files = [
        ("apps/lab/staging/moving.yaml", None),
        ("next/staging/moving.yaml", Some(there)),
    ];
    let number = lab.world.propose("bob", "move", &files);
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &[
            "`ConfigMap lab-staging/moving` moves to `next/staging`: it is handed over, not deleted.",
            "-  drop: '2'",
        ],
    );
    // Whose it is to be comes last, after whose it was has been looked at and rests.
    lab.world
        .windlass(&["pause", "next/staging", "--for", "1h"]);
    let inventory = async |name: &str| {
        lab.world.application(name).await["status"]["inventory"]
            .to_string()
            .contains("moving")
    };
    let merged = lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )["sha"]
        .clone();
    lab.world
        .until("one rests and the other is paused", async || {
            let (was, next) = (
                lab.world.application("lab.staging").await,
                lab.world.application("next.staging").await,
            );
            let paused = next["status"]["message"].as_str()?.contains("paused until")
                && next["status"]["revision"] == merged;
            (was["status"]["syncedRevision"] == merged && paused).then_some(())
        })
        .await;
    assert!(
        inventory("lab.staging").await,
        "it is whose it was until it is handed over"
    );
    lab.world.windlass(&["resume", "next/staging"]);
    lab.world
        .sync_status(merged.as_str().unwrap(), "success")
        .await;
    let after = lab.object("v1", "ConfigMap", "configmaps", "moving").await;
    assert_eq!(
        (&after["metadata"]["uid"], &after["data"]),
        (&before["metadata"]["uid"], &json!({"keep": "1"}))
    );
    assert_eq!(
        after["metadata"]["annotations"]["windlass.dev/application"],
        "next/staging"
    );
    lab.world
        .until("it is in one inventory", async || {
            (!inventory("lab.staging").await && inventory("next.staging").await).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_two_applications_have_is_an_error_on_the_pull_request() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    with_neighbour(&lab).await;
    let (number, text) = lab
        .change(
            "both",
            &[(
                "next.yaml",
                Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: next}\ndata: {a: '2'}\n"),
            )],
        )
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "ConfigMap lab-staging/next is an object of next/staging too",
        ],
    );
    let why = lab.merge(number, "failure").await;
    has(&why, &["is an object of next/staging too"]);
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "next").await["data"]["a"],
        "1"
    );
}

const TWO_VARIABLES: &str = "          env: [{name: A, value: '1'}, {name: B, value: '2'}]\n";

/// What people do by hand to what we applied, on a real server: each is seen by the metadata alone and set back.
#[tokio::test(flavor = "multi_thread")]
async fn every_hand_edit_is_seen_and_set_back() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", TWO_VARIABLES)),
        ("config.yaml", CONFIG),
    ])
    .await;
    let spec = async || lab.deployment().await["spec"].clone();
    let wanted = spec().await;
    let back = async |what: &str| {
        lab.world
            .until(what, async || (spec().await == wanted).then_some(()))
            .await
    };
    let patch = |text: &str| lab.kubectl(&["patch", "deployment/lab", "--type=json", "-p", text]);
    let env = "/spec/template/spec/containers/0/env";
    lab.kubectl(&["set", "image", "deployment/lab", "lab=lab:hacked"]);
    back("set image").await;
    patch(&format!(r#"[{{"op":"remove","path":"{env}/1"}}]"#));
    back("an item taken out of a list").await;
    patch(&format!(
        r#"[{{"op":"add","path":"{env}/-","value":{{"name":"C","value":"3"}}}}]"#
    ));
    back("an item added to a list").await;
    // Two more on the same object within the minute would be a fight.
    patch(
        r#"[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"sidecar","image":"spy:1"}}]"#,
    );
    back("a sidecar").await;
    // A person's label beside ours stays; ours comes back.
    lab.kubectl(&["label", "configmap/lab", "note=mine", "windlass.dev/owner-"]);
    lab.world
        .until("our label is back", async || {
            let labels =
                lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["labels"]
                    .clone();
            (labels["windlass.dev/owner"].is_string() && labels["note"] == "mine").then_some(())
        })
        .await;
}

/// The same of other programs, also where they write under our own name or wipe who owns what.
#[tokio::test(flavor = "multi_thread")]
async fn what_other_writers_change_is_seen_and_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let spec = async || lab.deployment().await["spec"].clone();
    let wanted = spec().await;
    let back = async |what: &str| {
        lab.world
            .until(what, async || (spec().await == wanted).then_some(()))
            .await
    };
    lab.kubectl(&["scale", "deployment/lab", "--replicas=5"]);
    back("scale").await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"replicas":4}}"#,
    ]);
    back("another manager").await;
    let theirs =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: lab}\nspec: {replicas: 6}\n";
    lab.with_file(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=other",
        ],
        theirs,
    );
    back("another that applies by force").await;
    let wiped = r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]},{"op":"replace","path":"/spec/replicas","value":8}]"#;
    lab.kubectl(&["patch", "deployment/lab", "--type=json", "-p", wiped]);
    back("managedFields emptied").await;
}

/// In an editor, and by putting a whole file in its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_or_replaced_by_hand_is_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let wanted = lab.deployment().await["spec"].clone();
    let back = async |what: &str| {
        let whole = async || {
            let live = lab.deployment().await;
            (live["spec"] == wanted && live["metadata"]["labels"]["windlass.dev/owner"].is_string())
                .then_some(())
        };
        lab.world.until(what, whole).await;
    };
    let plane = crate::support::plane();
    let edited = std::process::Command::new(plane.tools().program("kubectl").unwrap())
        .args([
            "--kubeconfig",
            plane.kubeconfig().to_str().unwrap(),
            "-n",
            &lab.namespace(),
            "edit",
            "deployment/lab",
        ])
        .env("KUBE_EDITOR", "sed -i 's/replicas: 2/replicas: 4/'")
        .output()
        .unwrap();
    assert!(
        edited.status.success(),
        "{}",
        String::from_utf8_lossy(&edited.stderr)
    );
    back("an edit").await;
    lab.with_file(
        &["replace"],
        &deployment("", TWO_VARIABLES).replace("replicas: 2", "replicas: 9"),
    );
    back("a replacement, which took our marks too").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_under_our_own_name_is_seen_too() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let ours = deployment("", TWO_VARIABLES).replace("replicas: 2", "replicas: 7");
    lab.with_file(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=windlass/lab/staging",
        ],
        &ours,
    );
    lab.world
        .until("it is set back", async || {
            (lab.deployment().await["spec"]["replicas"] == 2).then_some(())
        })
        .await;
}
