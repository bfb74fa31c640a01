use proptest::prelude::*;
use serde_json::json;

use super::*;

fn mask() -> Mask {
    Mask::new(b"an installation")
}

#[test]
fn hidden_values_tell_only_whether_they_differ() {
    let secret = |token: &str| json!({"kind": "Secret", "data": {"same": "c2FtZQ==", "token": token}, "stringData": {"plain": token}});
    let masked = mask().pair(Some(secret("CANARY1")), Some(secret("CANARY22")));
    let shown = format!("{:?} {:?}", masked.before, masked.after);
    assert!(
        !shown.contains("CANARY") && !shown.contains("c2Ft"),
        "{shown}"
    );
    assert_eq!(
        masked.before.unwrap()["data"],
        json!({"same": HIDDEN, "token": HIDDEN_BEFORE})
    );
    assert_eq!(
        masked.after.unwrap()["data"],
        json!({"same": HIDDEN, "token": HIDDEN_AFTER})
    );
    let other = mask().pair(Some(secret("CANARY1")), Some(secret("CANARY33")));
    assert_ne!(masked.digests, other.digests);
    assert_ne!(
        masked.digests,
        Mask::new(b"another")
            .pair(Some(secret("CANARY1")), Some(secret("CANARY22")))
            .digests
    );
}

#[test]
fn credentials_are_known_wherever_they_stand() {
    let jwt = format!("eyJ{}.{}.x", "a".repeat(20), "b".repeat(20));
    let hidden = [
        json!({"kind": "ConfigMap", "data": {"DB_PASSWORD": "CANARY"}}),
        json!({"kind": "ConfigMap", "data": {"app.conf": "x\n-----BEGIN RSA PRIVATE KEY-----\nCANARY"}}),
        json!({"kind": "ConfigMap", "data": {"url": "postgres://user:CANARY@db/x"}}),
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "API_KEY", "value": "CANARY"}]}]}}}}),
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "args": [format!("--t=CANARY{jwt}")]}]}}}}),
        json!({"kind": "SealedSecret", "spec": {"template": {"data": {"a": "CANARY"}}}}),
        json!({"kind": "X", "spec": {"object": {"kind": "Secret", "stringData": {"a": "CANARY"}}}}),
        json!({"kind": "Secret", "data": "CANARY, not even an object"}),
        json!({"kind": "X", "metadata": {"annotations": {"last": "{\"kind\":\"Secret\",\"data\":{\"a\":\"CANARY\"}}"}}}),
    ];
    for object in hidden {
        let masked = mask().pair(None, Some(object.clone()));
        assert!(
            !masked.after.unwrap().to_string().contains("CANARY"),
            "{object}"
        );
    }
    let shown = [
        json!({"kind": "ConfigMap", "data": {"greeting": "hello", "TOKEN_FILE": "/run/token"}}),
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x@sha256:00", "env": [{"name": "PORT", "value": "80"}]}],
            "volumes": [{"name": "s", "secret": {"secretName": "s"}}]}}}}),
    ];
    for object in shown {
        let masked = mask().pair(None, Some(object.clone()));
        assert_eq!(masked.after.as_deref(), Some(&object));
    }
}

#[test]
fn what_the_server_quotes_is_taken_out() {
    let object = json!({"kind": "Deployment", "env": [{"name": "API_KEY", "value": "CANARY"}]});
    assert_eq!(
        Mask::scrub("Invalid value: \"CANARY\": no", &object),
        "Invalid value: \"(hidden)\": no"
    );
}

proptest! {
    #[test]
    fn no_value_of_a_secret_is_ever_shown(values in proptest::collection::btree_map("[a-z.]{1,6}", "[ -~]{8,20}", 1..5), string in any::<bool>()) {
        let field = if string { "stringData" } else { "data" };
        let object = json!({"kind": "Secret", "metadata": {"name": "s"}, field: values});
        let masked = mask().pair(Some(object.clone()), Some(object));
        let text = format!("{} {}", *masked.before.unwrap(), *masked.after.unwrap());
        for value in values.values() {
            let json = serde_json::to_string(value).unwrap();
            prop_assert!(!text.contains(json.trim_matches('"')));
        }
    }
}

#[test]
fn credentials_inside_texts_are_hidden_and_the_rest_is_shown() {
    let mask = Mask::new(b"key");
    let config = |password: &str| {
        let file = format!("host: db\nuser: app\npassword: {password}\nfrom_env: ${{X}}\n");
        serde_json::json!({"kind": "ConfigMap", "data": {"app.yaml": file}})
    };
    let masked = mask.pair(Some(config("hunter2")), Some(config("hunter3")));
    let text = |side: &Option<Masked>| {
        side.as_ref().unwrap()["data"]["app.yaml"]
            .as_str()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        text(&masked.before),
        "host: db\nuser: app\npassword: (hidden, old)\nfrom_env: ${X}\n"
    );
    assert_eq!(
        text(&masked.after),
        "host: db\nuser: app\npassword: (hidden, new)\nfrom_env: ${X}\n"
    );
    assert_ne!(
        masked.digests,
        mask.pair(Some(config("hunter2")), Some(config("other")))
            .digests
    );
    assert!(
        mask.pair(Some(config("a1")), Some(config("a1")))
            .digests
            .is_empty()
    );
    let pod = |arguments: Value| serde_json::json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "args": arguments}]}});
    let masked = mask.pair(
        None,
        Some(pod(serde_json::json!([
            "--password=hunter2",
            "--port=1",
            "--token",
            "t0ps3cret",
            "-v",
            "{\"dbPass\": \"x1\"}"
        ]))),
    );
    let shown = masked.after.unwrap()["spec"]["containers"][0]["args"].to_string();
    assert_eq!(
        shown,
        r#"["--password=(hidden)","--port=1","--token","(hidden)","-v","{\"dbPass\": \"(hidden)\"}"]"#
    );
    assert_eq!(
        Mask::scrub("bad hunter2 here", &config("hunter2")),
        "bad (hidden) here"
    );
}
