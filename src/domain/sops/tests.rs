//! What sops 3.13.3 and age 1.2 encrypted, and changes of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::domain::yaml;

const KEY: &str = include_str!("../../../tests/fixtures/sops/key.txt");
const SECRET: &str = include_str!("../../../tests/fixtures/sops/secret.yaml");
const FOR_OTHERS: &str = include_str!("../../../tests/fixtures/sops/for-others.yaml");
const TYPES: &str = include_str!("../../../tests/fixtures/sops/types.yaml");

fn keys() -> Keys {
    Keys::parse(KEY).unwrap()
}

fn manifest(text: &str) -> Manifest {
    Manifest::parse_all(text, "secret.yaml").unwrap().remove(0)
}

#[test]
fn a_secret_is_decrypted_as_sops_does() {
    let mut secret = manifest(SECRET);
    keys().decrypt(&mut secret).unwrap();
    assert_eq!(
        secret.value,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "type": "Opaque",
            "stringData": {"password": "correct horse: battery", "port": "5432", "empty": ""},
            "data": {"token": "c3dvcmRmaXNo"},
        })
    );
    assert!(!secret.is_encrypted());
    // Once more changes nothing.
    let before = secret.clone();
    keys().decrypt(&mut secret).unwrap();
    assert_eq!(secret, before);
}

#[test]
fn each_type_comes_back() {
    let types = manifest(TYPES);
    let key = keys().data_key(&types.value["sops"]).unwrap();
    let open = |pointer: &str, path: &[&str]| {
        let text = types.value["a"].pointer(pointer).unwrap();
        key.open(text.as_str().unwrap(), path).unwrap()
    };
    for (pointer, path, expected) in [
        ("/int", &["a", "int"][..], json!(42)),
        ("/float", &["a", "float"], json!(1.5)),
        ("/yes", &["a", "yes"], json!(true)),
        ("/no", &["a", "no"], json!(false)),
        // The items of a list have the path of the list.
        ("/list/0", &["a", "list"], json!("one")),
        ("/list/1/two", &["a", "list", "two"], json!("zwei")),
        ("/text", &["a", "text"], json!("grüße")),
    ] {
        assert_eq!(open(pointer, path), expected);
    }
    // No field of a Secret.
    let why = keys().decrypt(&mut types.clone());
    assert_eq!(why, Err(Encrypted::Changed("a".into())));
}

/// What would be quoted in a message of the server, or stand where nothing is hidden.
#[test]
fn values_are_opened_where_a_secret_has_them_and_nowhere_else() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut secret = manifest(SECRET);
        change(&mut secret.value);
        let before = secret.clone();
        let why = keys().decrypt(&mut secret).unwrap_err();
        assert_eq!(secret, before);
        why
    };
    let listed = |value: &mut Value| {
        let token = value["data"]["token"].clone();
        value["data"]["token"] = json!([token]);
    };
    assert_eq!(changed(&listed), Encrypted::Changed("data.token".into()));
    let above = |value: &mut Value| {
        value["stringData:password"] = value["stringData"]["password"].clone();
    };
    let why = Encrypted::Changed("stringData:password".into());
    assert_eq!(changed(&above), why);
    let below = |value: &mut Value| {
        value["metadata"]["annotations"] = json!({"a": value["stringData"]["password"]});
    };
    assert_eq!(changed(&below), Encrypted::Changed("metadata".into()));
    // The server would take the plain one.
    let over = |value: &mut Value| value["stringData"]["token"] = "evil".into();
    assert_eq!(changed(&over), Encrypted::Changed("data.token".into()));
}

#[test]
fn what_stands_in_git_is_kept_for_comparisons() {
    let mut secret = manifest(SECRET);
    keys().decrypt(&mut secret).unwrap();
    let sealed: Vec<_> = secret.sealed.keys().collect();
    assert_eq!(sealed, ["password", "port", "token"]);
    let shown = secret.as_in_git();
    assert!(shown["data"]["token"].as_str().unwrap().starts_with("ENC["));
}

#[test]
fn what_a_renderer_adds_does_not_matter_and_what_somebody_changes_does() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut secret = manifest(SECRET);
        change(&mut secret.value);
        keys().decrypt(&mut secret)
    };
    let labelled = |value: &mut Value| value["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(changed(&labelled), Ok(()));
    // A value at another's place.
    let swapped =
        |value: &mut Value| value["stringData"]["port"] = value["stringData"]["password"].clone();
    assert_eq!(
        changed(&swapped),
        Err(Encrypted::Changed("stringData.port".into()))
    );
    let other_text = |value: &mut Value| {
        let text = value["stringData"]["password"].as_str().unwrap();
        value["stringData"]["password"] = text.replace("data:45Rx", "data:45Ry").into();
    };
    assert_eq!(
        changed(&other_text),
        Err(Encrypted::Changed("stringData.password".into()))
    );
    for broken in [
        "ENC[AES256_GCM,]",
        "ENC[AES256_GCM,data:,iv:,tag:,type:str]",
    ] {
        let place = |value: &mut Value| value["stringData"]["password"] = broken.into();
        assert!(matches!(changed(&place), Err(Encrypted::Changed(_))));
    }
    let key = |value: &mut Value| {
        let text = value["sops"]["age"][0]["enc"].as_str().unwrap();
        value["sops"]["age"][0]["enc"] = text.replace("YWdl", "YWdm").into();
    };
    assert!(matches!(changed(&key), Err(Encrypted::OtherKeys(_))));
}

const VARIABLES: &str = include_str!("../../../tests/fixtures/sops/variables.env");
const JSON: &str = include_str!("../../../tests/fixtures/sops/config.json");
const YAML: &str = include_str!("../../../tests/fixtures/sops/config.yaml");
const OTHER: &str = include_str!("../../../tests/fixtures/sops/id_rsa");

/// A Secret as kustomize generates it of files.
fn generated<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Manifest {
    let data: serde_json::Map<_, _> = entries
        .into_iter()
        .map(|(name, text)| (name.to_string(), STANDARD.encode(text).into()))
        .collect();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made"}, "data": data});
    manifest(&secret.to_string())
}

/// As kustomize reads a file of variables.
fn of_variables() -> Manifest {
    generated(VARIABLES.lines().filter_map(|line| line.split_once('=')))
}

fn opened(mut secret: Manifest) -> BTreeMap<String, String> {
    keys().decrypt(&mut secret).unwrap();
    assert!(!has_encrypted_files(&secret));
    let data = secret.value["data"].as_object().unwrap();
    data.iter()
        .map(|(name, entry)| {
            let bytes = STANDARD.decode(entry.as_str().unwrap()).unwrap();
            (name.clone(), String::from_utf8(bytes).unwrap())
        })
        .collect()
}

#[test]
fn files_that_a_generator_reads_are_opened_in_their_secret() {
    assert_eq!(
        opened(of_variables()),
        BTreeMap::from([
            ("PASSWORD".into(), "correct horse: battery".into()),
            ("PORT".into(), "5432".into()),
            ("TWO".into(), "a\\nb".into()),
        ])
    );
    let files = opened(generated([
        ("app.env", VARIABLES),
        ("config.json", JSON),
        ("config.yaml", YAML),
        ("id_rsa", OTHER),
        ("plain.txt", "plain"),
    ]));
    assert_eq!(
        files["app.env"],
        "PASSWORD=correct horse: battery\nPORT=5432\nTWO=a\\nb\n"
    );
    let json: Value = serde_json::from_str(&files["config.json"]).unwrap();
    assert_eq!(
        json,
        json!({"db": {"password": "swordfish", "ports": [5432, 5433]}, "debug": false})
    );
    let yaml: Value = yaml::parse(&files["config.yaml"]).unwrap();
    assert_eq!(
        yaml,
        json!({"db": {"hosts": ["one", "two"], "password": "swordfish"}, "plain_unencrypted": "yes"})
    );
    assert_eq!(files["id_rsa"], "ssh-key\nline two\n");
    assert_eq!(files["plain.txt"], "plain");
}

#[test]
fn files_that_no_key_opens_stay_and_variables_are_refused() {
    let mut files = generated([("config.yaml", YAML)]);
    let before = files.clone();
    Keys::default().decrypt(&mut files).unwrap();
    assert_eq!(files, before);
    let mut variables = of_variables();
    let why = Keys::default().decrypt(&mut variables);
    assert_eq!(why, Err(Encrypted::NoKey));
    // A value at the place of another.
    let mut swapped = of_variables();
    swapped.value["data"]["PORT"] = swapped.value["data"]["PASSWORD"].clone();
    let why = keys().decrypt(&mut swapped);
    assert_eq!(why, Err(Encrypted::Changed("data.PORT".into())));
    let moved = YAML.replace("    password:", "    user:");
    let why = keys().decrypt(&mut generated([("config.yaml", moved.as_str())]));
    let at = Encrypted::Changed("data.config.yaml: db.user".into());
    assert_eq!(why, Err(at));
    // What everybody sees is never opened.
    let mut config = manifest(
        &of_variables()
            .value
            .to_string()
            .replace("Secret", "ConfigMap"),
    );
    let before = config.clone();
    keys().decrypt(&mut config).unwrap();
    assert_eq!(config, before);
}

#[test]
fn what_stays_encrypted_has_its_reason() {
    assert_eq!(
        Keys::default().decrypt(&mut manifest(SECRET)),
        Err(Encrypted::NoKey)
    );
    let Err(Encrypted::OtherKeys(recipients)) = keys().decrypt(&mut manifest(FOR_OTHERS)) else {
        panic!("it is for another key");
    };
    assert!(recipients[0].starts_with("age1nhat22"), "{recipients:?}");
    let mut by_kms = manifest(FOR_OTHERS);
    by_kms.value["sops"]["age"] = json!([]);
    by_kms.value["sops"]["kms"] = json!([{"arn": "arn:aws:kms:…"}]);
    let why = keys().decrypt(&mut by_kms);
    assert_eq!(why, Err(Encrypted::OtherKeys(vec!["kms".into()])));
    // Anybody could have its content shown otherwise.
    let config = SECRET.replace("kind: Secret", "kind: ConfigMap");
    let mut config = manifest(&config);
    let before = config.clone();
    assert_eq!(keys().decrypt(&mut config), Err(Encrypted::NotASecret));
    assert_eq!(config, before);
}

#[test]
fn a_file_of_keys_is_checked_without_being_shown() {
    let two = format!("{KEY}\n\n# another\n{KEY}");
    assert_eq!(format!("{:?}", Keys::parse(&two).unwrap()), "Keys(2)");
    let own = format!("AGE-PLUGIN-YUBIKEY-1QQ\n{KEY}");
    assert_eq!(format!("{:?}", Keys::parse_own(&own).unwrap()), "Keys(1)");
    assert_eq!(format!("{:?}", Keys::parse_own("").unwrap()), "Keys(0)");
    for (text, words) in [
        ("", "there is no age key"),
        ("# nothing\n", "there is no age key"),
        (
            "age1tavqwgq3l7arxj2afgkas3hvun5uyt3nq7m2na58er8q6jgfl42qt2h9mm",
            "line 1 is not an age key",
        ),
        ("\nAGE-SECRET-KEY-1QQQQ", "line 2 is not an age key"),
    ] {
        let Invalid(why) = Keys::parse(text).unwrap_err();
        assert!(why.contains(words), "{why}");
        assert!(!why.contains("QQQQ"), "{why}");
    }
}
