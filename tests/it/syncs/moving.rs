//! What Argo CD and Flux applied moves to windlass (`windlass import`): proven before, and then done.

use crate::support::lab::deployment;
use crate::support::working_copy::WorkingCopy;
use crate::support::{Setup, World};

use super::external::define_argo_cd;

fn argo_application(world: &World, path: &str, namespace: &str, more: &str) -> String {
    // The cluster has others of other stories.
    let name = world.namespace(path);
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd
  finalizers: [resources-finalizer.argocd.argoproj.io]
spec:
  source: {{repoURL: https://github.com/acme/config.git, path: deploy/{path}{more}}}
  destination: {{server: https://kubernetes.default.svc, namespace: {namespace}}}
"
    )
}

/// An object as Argo CD applied it: server-side, with its tracking annotation.
fn applied(world: &World, namespace: &str, path: &str, text: &str) {
    let name = world.namespace(path);
    let tracking = format!(
        "metadata: {{annotations: {{argocd.argoproj.io/tracking-id: \"{name}:apps/Deployment:{namespace}/lab\"}}, name: "
    );
    let text = text.replacen("metadata: {name: ", &tracking, 1);
    let arguments = [
        "apply",
        "-n",
        namespace,
        "--server-side",
        "--field-manager=argocd-controller",
    ];
    world.with_file(&arguments, &text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_applied_moves_without_a_change_and_what_cannot_says_why() {
    let world = World::asleep(Setup::default()).await;
    define_argo_cd(&world);
    let namespaces = ["web", "api"].map(|name| world.namespace(&format!("{name}-staging")));
    let [web, api] = &namespaces;
    for namespace in &namespaces {
        world.kubectl(&["create", "namespace", namespace]);
    }
    let text = deployment("", "");
    applied(&world, web, "web", &text);
    // Somebody scaled it.
    applied(
        &world,
        api,
        "api",
        &text.replace("replicas: 2", "replicas: 3"),
    );
    let file = |name: &str| format!("deploy/{name}/deployment.yaml");
    let root = argo_application(&world, "root", web, "").replace("deploy/root", "argocd");
    let prefixed = argo_application(&world, "prefixed", web, ", kustomize: {namePrefix: blue-}");
    let (web_app, api_app) = (
        argo_application(&world, "web", web, ""),
        argo_application(&world, "api", api, ""),
    );
    let files = [
        (
            "windlass.yaml",
            "version: 1\n\n# Argo CD applies them.\ndiscover: argocd\n",
        ),
        ("root.yaml", &root),
        ("argocd/web.yaml", &web_app),
        ("argocd/api.yaml", &api_app),
        ("argocd/prefixed.yaml", &prefixed),
        (&file("web"), &text),
        (&file("api"), &text),
        (
            "deploy/api/new.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n",
        ),
        (&file("prefixed"), &text),
        (
            "deploy/prefixed/kustomization.yaml",
            "resources: [deployment.yaml]\n",
        ),
    ];
    world.commit(
        "Argo CD's repository",
        &files.map(|(path, text)| (path, Some(text))),
    );
    for object in [&web_app, &api_app] {
        world.with_file(
            &["apply"],
            &object.replace("namespace: argocd\n", &format!("namespace: {web}\n")),
        );
    }
    let copy = WorkingCopy::cloned(&world.forge.repository_path("acme", "config"), "main");
    let (said, code) = copy.run(&["import", "--repository", "acme/config"]);
    assert_eq!(code, 1, "{said}");
    insta::assert_snapshot!(world.scrub(&said), @r#"
    wrote windlass.yaml: windlass applies 2 of 4 applications then
      api/live       2 objects, 2 would change
      prefixed/live  stays with the Application argocd/prefixed
          its `source.kustomize` changes what the repository has: write that into the kustomization.yaml, or into a values file, and import again
      root/live      stays with the Application argocd/root
          it applies the object that declares api/live: it is not needed once all of its applications have moved
      web/live       1 object, nothing changes

    the first sync would change:

    api/live on local
      created ConfigMap api-staging/new
        +apiVersion: v1
        +kind: ConfigMap
        +metadata:
        +  name: new
        +  namespace: api-staging
      changed Deployment api-staging/lab
        • scales down by 1 pod: from 3 to 2
        • adoption: takes over the fields that argocd-controller set, once; those that Git does not have are removed
         apiVersion: apps/v1
         kind: Deployment
         metadata:
        -  annotations:
        -    argocd.argoproj.io/tracking-id: api:apps/Deployment:api-staging/lab
           name: lab
           namespace: api-staging
         spec:
           progressDeadlineSeconds: 600
        -  replicas: 3
        +  replicas: 2
           revisionHistoryLimit: 10
           selector:
             matchLabels:

    what windlass does otherwise than now:
      it syncs by itself (`windlass pause` keeps an application as it is): api/live, web/live

    next:
      1. Open a pull request with windlass.yaml. Its merge changes nothing that is there: windlass leaves alone what another keeps.
      2. Let go of the objects without deleting them:
         api/live: in argocd/api.yaml, take out `metadata.finalizers`; once the cluster has that, delete api from the file
         web/live: in argocd/web.yaml, take out `metadata.finalizers`; once the cluster has that, delete web from the file
         An Application with a finalizer deletes all its objects. Look before you delete one; this prints nothing then:
           kubectl -n argocd get applications.argoproj.io api -o jsonpath='{.metadata.finalizers}'
      3. Let windlass take them over:
         windlass adopt --all --stage live
    "#);
    let written = std::fs::read_to_string(copy.folder().join("windlass.yaml")).unwrap();
    insta::assert_snapshot!(world.scrub(&written), @r#"
    version: 1

    # Argo CD applies them.
    discover: argocd

    applications:
      - path: deploy/api
        name: api
        namespace: api-staging
      - path: deploy/web
        name: web
        namespace: web-staging
    "#);

    // As the steps say: the merge changes nothing, Argo CD lets go, windlass takes over.
    let object = |namespace: &str, path: &str| {
        let path = format!("jsonpath={path}");
        world.kubectl(&["-n", namespace, "get", "deployment", "lab", "-o", &path])
    };
    let tracking = r"{.metadata.annotations.argocd\.argoproj\.io/tracking-id}";
    let uids = namespaces
        .each_ref()
        .map(|namespace| object(namespace, "{.metadata.uid}"));
    world.commit(
        "windlass applies them",
        &[("windlass.yaml", Some(&written))],
    );
    world.start();
    world
        .until("both are refused", async || {
            let all = serde_json::to_string(&world.applications().await).unwrap();
            (all.matches("release it there first").count() >= 2).then_some(())
        })
        .await;
    assert_eq!(object(api, "{.spec.replicas}"), "3");
    for name in ["web", "api"] {
        let name = &world.namespace(name);
        let on = ["-n", web, "patch", "applications.argoproj.io", name];
        world.kubectl(
            &[
                &on[..],
                &[
                    "--type=merge",
                    "--patch",
                    r#"{"metadata":{"finalizers":null}}"#,
                ],
            ]
            .concat(),
        );
        world.kubectl(&["-n", web, "delete", "applications.argoproj.io", name]);
        world.windlass(&["sync", &format!("{name}/live")]);
    }
    world
        .until("both wait to be adopted", async || {
            let waiting = world.windlass(&["status", "--unhealthy"]);
            (waiting.matches("windlass adopt").count() >= 2).then_some(())
        })
        .await;
    world.windlass(&["adopt", "--all", "--stage", "live"]);
    world
        .until("windlass applies both", async || {
            let taken = namespaces
                .iter()
                .all(|namespace| object(namespace, tracking).is_empty());
            (taken && object(api, "{.spec.replicas}") == "2").then_some(())
        })
        .await;
    let after = namespaces
        .each_ref()
        .map(|namespace| object(namespace, "{.metadata.uid}"));
    assert_eq!(uids, after, "none was made anew");
}
