//! A push that rules forbid, told as GitHub tells it: `GH013`, and each ref declined.
//!
//! The words are those of Kong/kong-operator#4536 and dmf-mxl/mxl#356. The commits that come with
//! the push are unpacked before they are judged, so that rules can look at them; a refused push
//! leaves them behind unreferenced.

use super::program::run;
use crate::sandbox::forge::{Inner, Reply, ReplyBody};

/// One line of a push: a ref is to go from one commit to another.
struct Command {
    old: Option<String>,
    new: Option<String>,
    reference: String,
}

impl Inner {
    /// The refusal of a push, if rules forbid any of it. `body`: of `git-receive-pack`.
    pub(super) fn refused_push(&self, owner: &str, name: &str, body: &[u8]) -> Option<Reply> {
        let (commands, pack) = commands(body);
        let ruled = self
            .state()
            .repository(owner, name)
            .is_some_and(|repo| !repo.rules.is_empty());
        if commands.is_empty() || !ruled {
            return None;
        }
        let path = self.repository_path(owner, name);
        if !pack.is_empty() {
            // What is wrong with it, git says itself when it gets it.
            run(&path, &["unpack-objects", "-q"], Some(pack), &[]).ok()?;
        }
        let mut words = String::new();
        for command in &commands {
            let move_ = (command.old.as_deref(), command.new.as_deref());
            let found = self.move_violations(owner, name, &command.reference, move_);
            if !found.is_empty() {
                words.push_str(&self.told(owner, name, &command.reference, &found));
            }
        }
        (!words.is_empty()).then(|| declined(&commands, &words))
    }

    fn told(&self, owner: &str, name: &str, reference: &str, found: &[String]) -> String {
        let page = format!("{}/{owner}/{name}/rules", self.origin());
        let mut words = format!(
            "error: GH013: Repository rule violations found for {reference}.\nReview all repository rules at {page}?ref={}\n\n",
            reference.replace('/', "%2F")
        );
        for one in found {
            words.push_str(&format!("- {one}\n\n"));
        }
        words
    }
}

/// The commands of a push, and the pack behind them (gitprotocol-pack, reference update request).
fn commands(body: &[u8]) -> (Vec<Command>, &[u8]) {
    let mut rest = body;
    let mut commands = Vec::new();
    while let Some((line, behind)) = packet(rest) {
        rest = behind;
        let Some(line) = line else { break };
        let text = String::from_utf8_lossy(line);
        let text = text.split('\0').next().unwrap_or_default().trim_end();
        let commit = |word: &str| (word.bytes().any(|b| b != b'0')).then(|| word.to_string());
        if let [old, new, reference] = text.splitn(3, ' ').collect::<Vec<_>>()[..] {
            commands.push(Command {
                old: commit(old),
                new: commit(new),
                reference: reference.into(),
            });
        }
    }
    (commands, rest)
}

/// The first packet of a stream (its content; None: a flush) and what is behind it.
fn packet(stream: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let length = std::str::from_utf8(stream.get(..4)?).ok()?;
    match usize::from_str_radix(length, 16).ok()? {
        0 => Some((None, &stream[4..])),
        length => Some((Some(stream.get(4..length)?), &stream[length..])),
    }
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", content.len() + 4).into_bytes();
    packet.extend(content);
    packet
}

/// The report of a push of which nothing was done: what people read in band 2, the fate of each ref
/// in band 1.
fn declined(commands: &[Command], words: &str) -> Reply {
    let mut report = packed(b"unpack ok\n");
    for command in commands {
        let line = format!(
            "ng {} push declined due to repository rule violations\n",
            command.reference
        );
        report.extend(packed(line.as_bytes()));
    }
    report.extend(b"0000");
    let band = |number: u8, content: &[u8]| packed(&[&[number], content].concat());
    let mut body = band(2, words.as_bytes());
    body.extend(band(1, &report));
    body.extend(b"0000");
    Reply {
        status: 200,
        body: ReplyBody::Bytes("application/x-git-receive-pack-result".into(), body),
        headers: vec![("cache-control", "no-cache".into())],
    }
}
