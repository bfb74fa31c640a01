//! What people do by commands: kubectl, and windlass as an operator.

use std::path::Path;
use std::process::Command;

use super::{World, plane};

impl World {
    /// kubectl as the administrator: what a person does by hand, who repeats a command that reads
    /// and writes when a controller wrote in between.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let overtaken = |said: &anyhow::Result<String>| {
            said.as_ref()
                .is_err_and(|e| e.to_string().contains("the object has been modified"))
        };
        let mut said = plane().kubectl(arguments);
        for _ in 0..10 {
            if !overtaken(&said) {
                break;
            }
            said = plane().kubectl(arguments);
        }
        said.expect("kubectl")
    }

    /// kubectl with a file of this text.
    pub fn with_file(&self, arguments: &[&str], text: &str) -> String {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.kubectl(&[arguments, &["-f", file.path().to_str().unwrap()]].concat())
    }

    /// The windlass command, as an operator gives it.
    pub fn windlass(&self, arguments: &[&str]) -> String {
        let said = std::process::Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(arguments)
            .args(["--namespace", &self.home()])
            .env("KUBECONFIG", plane().kubeconfig())
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        String::from_utf8(said.stdout).unwrap()
    }
}

/// git in a folder, as a person.
pub fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=bob", "-c", "user.email=bob@example.com"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// What kustomize builds of a folder.
pub fn built(folder: &Path) -> String {
    let output = Command::new(plane().tools().program("kustomize").unwrap())
        .arg("build")
        .arg(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}
