//! Several clusters: one that cannot be used holds up no other, and comes without a restart.

use windlass::sandbox::example;

use crate::support::lab::has;
use crate::support::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_a_kubeconfig_holds_up_no_other_and_comes_later() {
    let mut world = World::asleep(Setup {
        projects: Some(example::PROJECTS.replace("[local]", "[local, other]")),
        ..Setup::default()
    })
    .await;
    let catalog = world.file("windlass.yaml");
    let (staging, production) = catalog.split_once("  production:").unwrap();
    let production = production.replacen("cluster: local", "cluster: other", 1);
    let catalog = format!("{staging}  production:{production}");
    world.commit("Another cluster", &[("windlass.yaml", Some(&catalog))]);
    let kubeconfig = world.cache().with_file_name("other.kubeconfig");
    let clusters = format!("other={}", kubeconfig.display());
    world
        .windlass
        .environment
        .push(("WINDLASS_CLUSTERS", clusters));
    world.start();
    let pid = world.pid().unwrap();
    let health = async |name: &str| {
        let object = world.application(name).await;
        object["status"]["health"].as_str().map(str::to_string)
    };
    world
        .until("staging is healthy", async || {
            (health("shop.staging").await? == "Healthy").then_some(())
        })
        .await;
    let log = || std::fs::read_to_string(world.windlass.log()).unwrap();
    has(
        &log(),
        &["a cluster cannot be used", "the file is not there"],
    );
    let object = world
        .until("production says what is missing", async || {
            let object = world.application("shop.production").await;
            let message = object["status"]["message"].as_str()?;
            message
                .contains("its kubeconfig cannot be used: the file is not there")
                .then_some(object.clone())
        })
        .await;
    assert_eq!(object["spec"]["cluster"], "other");
    // The Secret is mounted, or rotated.
    let text = std::fs::read(world.cache().with_file_name("kubeconfig")).unwrap();
    std::fs::write(&kubeconfig, text).unwrap();
    world
        .until("production is healthy", async || {
            (health("shop.production").await? == "Healthy").then_some(())
        })
        .await;
    has(&log(), &["a kubeconfig changed"]);
    // It is the same process for whoever started it, and goes on with everything else.
    assert_eq!(world.pid().unwrap(), pid);
    world.announce("1.1.0").await;
    world.pull_request("staging").await;
}
