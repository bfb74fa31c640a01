//! Unpacking a chart's archive: files inside of its one directory, within limits.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::EntryType;

/// Path inside the chart's directory → content.
pub(in crate::render) type Unpacked = BTreeMap<String, Arc<[u8]>>;

/// The most bytes of an unpacked archive, and the most entries.
const MOST_BYTES: u64 = 32 << 20;
const MOST_ENTRIES: usize = 4_000;

/// The files of an archive, without the name of the directory that they are in. The error continues
/// "its archive".
pub(super) fn unpack(archive: &[u8]) -> Result<Unpacked, String> {
    let limited = MultiGzDecoder::new(archive).take(MOST_BYTES + 1);
    let mut archive = tar::Archive::new(limited);
    let mut files = Unpacked::new();
    let mut bytes = 0;
    let broken = |error: std::io::Error| format!("cannot be unpacked: {error}");
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= MOST_ENTRIES {
            return Err(format!("has more than {MOST_ENTRIES} files"));
        }
        bytes += entry.size();
        if bytes > MOST_BYTES {
            return Err(format!("is larger than {} MiB unpacked", MOST_BYTES >> 20));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            _ => return Err(format!("has `{path}`, which is neither file nor directory")),
        }
        let Some(inside) = inside(&path) else {
            return Err(format!("has `{path}`, which is outside of its directory"));
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if files.insert(inside, content.into()).is_some() {
            return Err(format!("has `{path}` twice"));
        }
    }
    Ok(files)
}

/// A path without its first directory; None: it leads out of that.
fn inside(path: &str) -> Option<String> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let (_, inside) = path.split_once('/').filter(|(first, _)| plain(first))?;
    let is_inside = inside.split('/').all(plain);
    is_inside.then(|| inside.to_string())
}

fn plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', ':'])
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // Past the crate's own checks.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        zipped(&builder.into_inner().unwrap())
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn nothing_leaves_the_directory_of_an_archive() {
        let file = EntryType::Regular;
        let good = packed(&[
            ("redis/", EntryType::Directory, b""),
            ("redis/Chart.yaml", file, b"name: redis"),
            ("./redis/templates/a.yaml", file, b"x"),
        ]);
        let paths: Vec<_> = unpack(&good).unwrap().into_keys().collect();
        assert_eq!(paths, ["Chart.yaml", "templates/a.yaml"]);
        let big = vec![0; (MOST_BYTES + 1) as usize];
        for (entry, said) in [
            (
                ("redis/../../x", file, &b"x"[..]),
                "outside of its directory",
            ),
            (("/etc/x", file, b"x"), "outside of its directory"),
            (("../x/y", file, b"x"), "outside of its directory"),
            (("redis\\..\\x/y", file, b"x"), "outside of its directory"),
            (("Chart.yaml", file, b"x"), "outside of its directory"),
            (("redis/x", EntryType::Symlink, b""), "neither file nor"),
            (("redis/x", EntryType::Link, b""), "neither file nor"),
            (("redis/x", file, &big), "larger than 32 MiB"),
        ] {
            let error = unpack(&packed(&[entry])).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let twice = [("redis/x", file, &b"x"[..]), ("redis/x", file, b"y")];
        assert!(unpack(&packed(&twice)).unwrap_err().contains("twice"));
    }

    /// Sizes in its headers that promise little, and much that comes.
    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = zipped(&vec![0; 256 << 20]);
        assert!(bomb.len() < 2 << 20);
        // Blocks of zeros end an archive.
        assert_eq!(unpack(&bomb), Ok(Unpacked::new()));
        let many: Vec<_> = (0..=MOST_ENTRIES).map(|at| format!("r/{at}")).collect();
        let many: Vec<_> = many
            .iter()
            .map(|path| (path.as_str(), EntryType::Regular, &b""[..]))
            .collect();
        let error = unpack(&packed(&many)).unwrap_err();
        assert!(error.contains("more than 4000 files"), "{error}");
        assert!(unpack(b"no archive").unwrap_err().contains("unpacked"));
    }
}
