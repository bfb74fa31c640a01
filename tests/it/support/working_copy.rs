//! A person's working copy, and windlass's commands in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::commands::git;
use super::plane;

/// A person's working copy, cloned from GitHub.
pub struct WorkingCopy {
    home: tempfile::TempDir,
}

impl WorkingCopy {
    /// With these files on the remote's default branch.
    pub fn of(repository: &str, files: &[(&str, &str)]) -> Self {
        let copy = Self {
            home: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(copy.folder()).unwrap();
        copy.git(&["init", "-q", "-b", "trunk"]);
        let url = format!("https://github.com/{repository}.git");
        copy.git(&["remote", "add", "origin", &url]);
        for (path, text) in files {
            copy.write(path, text);
        }
        copy.git(&["add", "."]);
        copy.git(&["commit", "-qm", "All"]);
        copy.git(&["update-ref", "refs/remotes/origin/trunk", "HEAD"]);
        copy.git(&[
            "symbolic-ref",
            "refs/remotes/origin/HEAD",
            "refs/remotes/origin/trunk",
        ]);
        copy
    }

    /// A clone of a bare repository, at a branch.
    pub fn cloned(from: &Path, branch: &str) -> Self {
        let copy = Self {
            home: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(copy.folder()).unwrap();
        let from = from.to_str().unwrap();
        copy.git(&["clone", "-q", "-b", branch, from, "."]);
        copy
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("config")
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.folder().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn git(&self, arguments: &[&str]) {
        git(&self.folder(), arguments);
    }

    /// The output of a command in the folder, and its exit code.
    pub fn run(&self, arguments: &[&str]) -> (String, i32) {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (String, i32) {
        let programs = ["kustomize", "helm", "git"].map(|name| plane().tools().program(name));
        let folders = programs.iter().flatten().filter_map(|path| path.parent());
        let mut paths: Vec<_> = folders.map(PathBuf::from).collect();
        let own = std::env::var_os("PATH").unwrap();
        paths.extend(std::env::split_paths(&own));
        let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(arguments)
            .current_dir(self.folder())
            .env("PATH", std::env::join_paths(paths).unwrap())
            .env("KUBECONFIG", plane().kubeconfig())
            .env_remove("CI")
            .envs(environment.iter().copied())
            // No windlass was ever installed there.
            .env("WINDLASS_NAMESPACE", "no-windlass")
            .output()
            .unwrap();
        let texts = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
        (texts.concat(), said.status.code().unwrap())
    }
}
