//! The lines of two objects, side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::keys;
use crate::domain::yaml;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Equal,
    Delete,
    Insert,
    /// Items of a list change places. It is a line of neither object.
    Order,
}

#[derive(Debug)]
pub(super) struct Line {
    pub tag: Tag,
    /// Without the end of the line.
    pub text: String,
    /// Where it is: an index of `Aligned::places`.
    pub place: usize,
    /// It has a key of the list's item that it is in.
    pub names_item: bool,
}

impl Line {
    pub(super) fn differs(&self) -> bool {
        self.tag != Tag::Equal
    }
}

/// An object, a list, an item of a list, or a value of several lines.
struct Place {
    path: String,
    /// The innermost item of an aligned list that it is in, or that it is.
    item: Option<usize>,
}

pub(super) struct Aligned {
    pub lines: Vec<Line>,
    places: Vec<Place>,
}

/// Two items that are more alike than this are shown as one that changed.
const ALIKE: f32 = 0.5;
/// So many items are named where a list's order differs.
const MOST_NAMED: usize = 8;
/// A longer path is cut, in characters.
const LONGEST_PATH: usize = 160;

/// What becomes of an item.
enum Step<'a> {
    Removed(&'a Value),
    Added(&'a Value),
    Stays(&'a Value, &'a Value),
}

/// Where lines go: the place that they are in, and how far they are indented.
#[derive(Clone, Copy)]
struct At {
    place: usize,
    indent: usize,
}

impl Aligned {
    pub(super) fn new(before: Option<&Value>, after: Option<&Value>) -> Self {
        let root = Place {
            path: String::new(),
            item: None,
        };
        let mut aligned = Self {
            lines: Vec::new(),
            places: vec![root],
        };
        let at = At {
            place: 0,
            indent: 0,
        };
        match (before, after) {
            (Some(Value::Object(before)), Some(Value::Object(after)))
                if !before.is_empty() && !after.is_empty() =>
            {
                aligned.object(before, after, at, &[]);
            }
            _ => aligned.texts(before.map(yaml::print), after.map(yaml::print), at),
        }
        aligned
    }

    /// A path as the API server prints it, from the end if it is long.
    pub(super) fn path(&self, place: usize) -> String {
        let path = self.places.get(place).map_or("", |place| &place.path);
        let cut = path.chars().count().saturating_sub(LONGEST_PATH);
        if cut == 0 {
            return path.into();
        }
        format!("…{}", path.chars().skip(cut).collect::<String>())
    }

    pub(super) fn item(&self, place: usize) -> Option<usize> {
        self.places.get(place)?.item
    }

    /// `keys`: the fields that tell this item of a list from others.
    fn object(
        &mut self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        at: At,
        keys: &[&str],
    ) {
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let from = self.lines.len();
            self.field(name, (before.get(name), after.get(name)), at);
            if keys.contains(&name.as_str()) {
                let named = self.lines.iter_mut().skip(from);
                named.for_each(|line| line.names_item = true);
            }
        }
    }

    fn field(&mut self, name: &str, sides: (Option<&Value>, Option<&Value>), at: At) {
        match (sides, head(name)) {
            ((Some(a), Some(b)), _) if a == b => {
                self.push(Tag::Equal, &yaml::print_field(name, a), at);
            }
            ((Some(Value::Object(a)), Some(Value::Object(b))), Some(head))
                if !a.is_empty() && !b.is_empty() =>
            {
                self.push(Tag::Equal, &head, at);
                let place = self.child(at.place, &step(name), false);
                let indent = at.indent + 2;
                self.object(a, b, At { place, indent }, &[]);
            }
            ((Some(Value::Array(a)), Some(Value::Array(b))), Some(head)) => {
                let place = self.child(at.place, &step(name), false);
                match keys::of(a, b) {
                    Some(keys) => {
                        self.push(Tag::Equal, &head, at);
                        self.list(a, b, keys, At { place, ..at });
                    }
                    None => self.fields(name, sides, At { place, ..at }),
                }
            }
            ((Some(Value::String(a)), Some(Value::String(b))), _)
                if a.contains('\n') && b.contains('\n') =>
            {
                let place = self.child(at.place, &step(name), false);
                self.fields(name, sides, At { place, ..at });
            }
            (sides, _) => self.fields(name, sides, at),
        }
    }

    /// A field whose sides are compared as text.
    fn fields(&mut self, name: &str, (a, b): (Option<&Value>, Option<&Value>), at: At) {
        let text = |value| yaml::print_field(name, value);
        self.texts(a.map(text), b.map(text), at);
    }

    fn list(&mut self, before: &[Value], after: &[Value], keys: &[&str], at: At) {
        self.order(before, after, keys, at);
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for step in steps(before, after, keys) {
            match step {
                Step::Removed(item) => removed.push(item),
                Step::Added(item) => added.push(item),
                Step::Stays(a, b) => {
                    self.replaced(&mut removed, &mut added, at);
                    self.item_of_both(a, b, keys, at);
                }
            }
        }
        self.replaced(&mut removed, &mut added, at);
    }

    /// Says if the items that stay do so in another order.
    fn order(&mut self, before: &[Value], after: &[Value], keys: &[&str], at: At) {
        let known = |items: &[Value]| -> Vec<_> {
            items
                .iter()
                .filter_map(|item| keys::key(item, keys))
                .collect()
        };
        let (mut old, mut new) = (known(before), known(after));
        let (had, has): (BTreeSet<_>, BTreeSet<_>) =
            (old.iter().cloned().collect(), new.iter().cloned().collect());
        old.retain(|key| has.contains(key));
        new.retain(|key| had.contains(key));
        if old == new {
            return;
        }
        let named = |keys: &[String]| {
            let more = keys.len().saturating_sub(MOST_NAMED);
            let named = keys.iter().take(MOST_NAMED).map(|key| keys::value_of(key));
            let named = named.collect::<Vec<_>>().join(", ");
            match more {
                0 => named,
                more => format!("{named} and {more} more"),
            }
        };
        let text = format!("order {} → {}", named(&old), named(&new));
        self.lines.push(Line {
            tag: Tag::Order,
            text,
            place: at.place,
            names_item: false,
        });
    }

    /// Items that go and items that come between two that stay: each pair that is alike is shown as
    /// one that changed, such as a container with a new name.
    fn replaced(&mut self, removed: &mut Vec<&Value>, added: &mut Vec<&Value>, at: At) {
        let (mut old, mut new) = (removed.drain(..), added.drain(..));
        loop {
            let (a, b) = (old.next().map(item_text), new.next().map(item_text));
            match (a, b) {
                (None, None) => return,
                (Some(a), Some(b)) if !are_alike(&a, &b) => {
                    self.push(Tag::Delete, &a, at);
                    self.push(Tag::Insert, &b, at);
                }
                (a, b) => self.texts(a, b, at),
            }
        }
    }

    fn item_of_both(&mut self, before: &Value, after: &Value, keys: &[&str], at: At) {
        let (Value::Object(a), Value::Object(b), Some(key)) =
            (before, after, keys::key(after, keys))
        else {
            return self.texts(Some(item_text(before)), Some(item_text(after)), at);
        };
        if before == after {
            return self.push(Tag::Equal, &item_text(after), at);
        }
        let place = self.child(at.place, &format!("[{key}]"), true);
        let (from, indent) = (self.lines.len(), at.indent + 2);
        self.object(a, b, At { place, indent }, keys);
        self.dash(from, at.indent);
    }

    /// Puts the dash of an item onto its first line, which may be another one on each side.
    fn dash(&mut self, from: usize, indent: usize) {
        let first = |lines: &[Line], other: Tag| {
            let of_side = |line: &Line| line.tag == Tag::Equal || line.tag == other;
            lines
                .iter()
                .skip(from)
                .position(of_side)
                .map(|at| at + from)
        };
        let (old, new) = (
            first(&self.lines, Tag::Delete),
            first(&self.lines, Tag::Insert),
        );
        let mut both = [old, new].into_iter().flatten().collect::<Vec<_>>();
        both.dedup();
        both.sort_unstable();
        let is_one = both.len() == 1;
        // From the end, since a line may become two.
        for at in both.into_iter().rev() {
            let Some(line) = self.lines.get_mut(at) else {
                continue;
            };
            let plain = line.text.clone();
            line.text.replace_range(indent..=indent, "-");
            if line.tag == Tag::Equal && !is_one {
                let (place, names_item) = (line.place, line.names_item);
                let of_old = old == Some(at);
                line.tag = if of_old { Tag::Delete } else { Tag::Insert };
                let (other, at) = match of_old {
                    true => (Tag::Insert, at + 1),
                    false => (Tag::Delete, at),
                };
                let text = plain;
                self.lines.insert(
                    at,
                    Line {
                        tag: other,
                        text,
                        place,
                        names_item,
                    },
                );
            }
        }
    }

    /// Two texts, line by line.
    fn texts(&mut self, before: Option<String>, after: Option<String>, at: At) {
        let (Some(before), Some(after)) = (&before, &after) else {
            self.push(Tag::Delete, &before.unwrap_or_default(), at);
            return self.push(Tag::Insert, &after.unwrap_or_default(), at);
        };
        let (before, after) = (lines_of(before), lines_of(after));
        for change in similar::TextDiff::from_slices(&before, &after).iter_all_changes() {
            let tag = match change.tag() {
                similar::ChangeTag::Equal => Tag::Equal,
                similar::ChangeTag::Delete => Tag::Delete,
                similar::ChangeTag::Insert => Tag::Insert,
            };
            self.push_line(tag, change.value(), at);
        }
    }

    fn push(&mut self, tag: Tag, text: &str, at: At) {
        for line in lines_of(text) {
            self.push_line(tag, line, at);
        }
    }

    fn push_line(&mut self, tag: Tag, line: &str, at: At) {
        // YAML leaves the empty lines of a text empty.
        let indent = if line.is_empty() { 0 } else { at.indent };
        self.lines.push(Line {
            tag,
            text: format!("{}{line}", " ".repeat(indent)),
            place: at.place,
            names_item: false,
        });
    }

    fn child(&mut self, of: usize, step: &str, is_item: bool) -> usize {
        let (path, item) = self
            .places
            .get(of)
            .map_or(("", None), |place| (&*place.path, place.item));
        let (path, own) = (format!("{path}{step}"), self.places.len());
        let item = if is_item { Some(own) } else { item };
        self.places.push(Place { path, item });
        own
    }
}

/// What becomes of the items, in the order of the list after; what is removed stands before the
/// item that it stood before.
fn steps<'a>(before: &'a [Value], after: &'a [Value], keys: &[&str]) -> Vec<Step<'a>> {
    let index = |items: &'a [Value]| -> BTreeMap<String, usize> {
        let keyed = items.iter().enumerate();
        keyed
            .filter_map(|(at, item)| Some((keys::key(item, keys)?, at)))
            .collect()
    };
    let (old, new) = (index(before), index(after));
    let is_removed =
        |item: &&Value| keys::key(item, keys).is_none_or(|key| !new.contains_key(&key));
    let (mut steps, mut seen) = (Vec::new(), 0);
    for item in after {
        let known = keys::key(item, keys).and_then(|key| old.get(&key).copied());
        match known.and_then(|at| Some((at, before.get(at)?))) {
            Some((at, counterpart)) => {
                let gone = before.iter().take(at).skip(seen).filter(is_removed);
                steps.extend(gone.map(Step::Removed));
                seen = seen.max(at);
                steps.push(Step::Stays(counterpart, item));
            }
            None => steps.push(Step::Added(item)),
        }
    }
    let gone = before.iter().skip(seen).filter(is_removed);
    steps.extend(gone.map(Step::Removed));
    steps
}

/// The line that a field's value stands below. None: its name takes several lines.
fn head(name: &str) -> Option<String> {
    let text = yaml::print_field(name, &serde_json::json!({"a": 1}));
    match lines_of(&text)[..] {
        [head, "  a: 1"] => Some(head.into()),
        _ => None,
    }
}

/// A field as a step of a path, in one line.
fn step(name: &str) -> String {
    let name = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    format!(".{}", name.collect::<String>())
}

fn item_text(item: &Value) -> String {
    yaml::print(&Value::Array(vec![item.clone()]))
}

fn lines_of(text: &str) -> Vec<&str> {
    text.split_terminator('\n').collect()
}

fn are_alike(a: &str, b: &str) -> bool {
    similar::TextDiff::from_slices(&lines_of(a), &lines_of(b)).ratio() > ALIKE
}
