//! Detects credentials: by the names that people give them, and by formats that only credentials
//! have.

/// Whether a name is that of a credential. Names of its location (`…_FILE`, `secretName`) are not.
pub(super) fn names_a_credential(name: &str) -> bool {
    let words = words(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    // A webhook's URL is a credential itself: whoever knows it may post.
    if last == "url" && words.iter().any(|word| word.contains("webhook")) {
        return true;
    }
    let together: String = words.concat();
    let place = [
        "file", "path", "name", "ref", "url", "ttl", "expiry", "enabled",
    ]
    .iter()
    .any(|end| together.ends_with(end));
    // Short words count only as whole words: `compass` is no `pass`.
    let short = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "pass" | "pwd" | "pw" | "dsn" | "psk" | "otp" | "pin"
        )
    });
    let long = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "privatekey",
        "accesskey",
        "signingkey",
        "encryptionkey",
        "masterkey",
        "sharedkey",
        "accountkey",
        "credential",
        "connectionstring",
    ];
    !place && (short || long.iter().any(|word| together.contains(word)))
}

/// `DB_PASS`, `dbPass`, `db.pass` → `db`, `pass`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() && lower {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a text contains a format that only credentials have.
pub(super) fn has_the_shape(text: &str) -> bool {
    let long = |rest: &str, most: usize| {
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
            .count()
            >= most
    };
    let prefixed = [
        ("ghp_", 30),
        ("gho_", 30),
        ("ghs_", 30),
        ("github_pat_", 30),
        ("glpat-", 18),
        ("xoxb-", 20),
        ("xoxp-", 20),
        ("sk_live_", 16),
        ("AKIA", 16),
    ]
    .iter()
    .any(|(prefix, most)| text.split(prefix).skip(1).any(|rest| long(rest, *most)));
    let jwt = text
        .split_once("eyJ")
        .is_some_and(|(_, rest)| rest.matches('.').count() >= 2 && long(rest, 10));
    // user:password@ in a URL.
    let userinfo = text.split("://").skip(1).any(|rest| {
        let authority = rest
            .split(['/', '?', '#', ' ', '\n'])
            .next()
            .unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| {
            user.split_once(':')
                .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
        })
    });
    text.contains("PRIVATE KEY-----") || prefixed || jwt || userinfo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_word_by_word() {
        for name in [
            "DB_PASS",
            "REDIS_PWD",
            "SIGNING_KEY",
            "SLACK_WEBHOOK_URL",
            "dbPassword",
            "spring.datasource.password",
            "--db-pass",
            "jwtSigningKey",
        ] {
            assert!(names_a_credential(name), "{name}");
        }
        for name in [
            "compass",
            "PASSWORD_FILE",
            "secretName",
            "bypass_cache",
            "WEBHOOK_PORT",
            "pinned",
            "TOKEN_URL",
        ] {
            assert!(!names_a_credential(name), "{name}");
        }
    }
}
