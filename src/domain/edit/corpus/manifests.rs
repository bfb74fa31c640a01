//! Manifests of every kind that runs something.

use super::*;

#[test]
fn references_in_manifests_are_set() {
    check(
        "ghcr.io/acme/shop",
        &[
            shape(
                "a Deployment",
                &[(
                    "app/web.yaml",
                    "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        image: ghcr.io/acme/shop:1.0\n",
                )],
                "-        image: ghcr.io/acme/shop:1.0\n+        image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "a CronJob",
                &[(
                    "app/job.yaml",
                    "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers: [{name: a, image: ghcr.io/acme/shop:1.0, args: [run]}]\n",
                )],
                "-          containers: [{name: a, image: ghcr.io/acme/shop:1.0, args: [run]}]\n+          containers: [{name: a, image: ghcr.io/acme/shop:2.0@sha256:B, args: [run]}]",
            ),
            shape(
                "a strategic-merge patch",
                &[(
                    "app/patch.yaml",
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: 'ghcr.io/acme/shop:1.0'}]}}}\n",
                )],
                "-spec: {template: {spec: {containers: [{name: a, image: 'ghcr.io/acme/shop:1.0'}]}}}\n+spec: {template: {spec: {containers: [{name: a, image: 'ghcr.io/acme/shop:2.0@sha256:B'}]}}}",
            ),
            shape(
                "no tag",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop\n",
                )],
                "-  - image: ghcr.io/acme/shop\n+  - image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "a digest alone",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop@sha256:1111111111111111111111111111111111111111111111111111111111111111\n",
                )],
                "-  - image: ghcr.io/acme/shop@sha256:1111111111111111111111111111111111111111111111111111111111111111\n+  - image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "init and sidecar",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  initContainers:\n  - image: ghcr.io/acme/shop:1\n  containers:\n  - image: ghcr.io/acme/shop:1\n  - image: envoy:1\n",
                )],
                "-  - image: ghcr.io/acme/shop:1\n+  - image: ghcr.io/acme/shop:2.0@sha256:B\n-  - image: ghcr.io/acme/shop:1\n+  - image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "a custom kind",
                &[(
                    "app/db.yaml",
                    "apiVersion: acme.example/v1\nkind: Shop\nspec:\n  image: ghcr.io/acme/shop:1.0\n  size: 2\n",
                )],
                "-  image: ghcr.io/acme/shop:1.0\n+  image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "several documents",
                &[(
                    "app/all.yaml",
                    "kind: Service\nmetadata: {name: web}\n---\nkind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop:1\n---\nkind: ConfigMap\ndata:\n  image: ghcr.io/acme/shop:1\n",
                )],
                "-  - image: ghcr.io/acme/shop:1\n+  - image: ghcr.io/acme/shop:2.0@sha256:B\n-  image: ghcr.io/acme/shop:1\n+  image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "a folded scalar at the end",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: >-\n      ghcr.io/acme/shop:1\n",
                )],
                "-  - image: >-\n-      ghcr.io/acme/shop:1\n+  - image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "json",
                &[(
                    "app/web.json",
                    "{\n  \"kind\": \"Pod\",\n  \"spec\": {\"containers\": [{\"image\": \"ghcr.io/acme/shop:1\"}]}\n}\n",
                )],
                "-  \"spec\": {\"containers\": [{\"image\": \"ghcr.io/acme/shop:1\"}]}\n+  \"spec\": {\"containers\": [{\"image\": \"ghcr.io/acme/shop:2.0@sha256:B\"}]}",
            ),
            shape(
                "a longer name is another image",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop-web:1\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: use it in an `image:` field",
            ),
            shape(
                "another registry's",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: quay.io/acme/shop:1\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: use it in an `image:` field",
            ),
            shape(
                "a variable",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop:${TAG}\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: use it in an `image:` field",
            ),
            shape(
                "a port of a registry",
                &[(
                    "app/web.yaml",
                    "kind: Pod\nspec:\n  containers:\n  - image: localhost:5000/acme/shop:1\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: use it in an `image:` field",
            ),
        ],
    );
    check(
        "localhost:5000/acme/shop",
        &[shape(
            "a registry with a port",
            &[(
                "app/web.yaml",
                "kind: Pod\nspec:\n  containers:\n  - image: localhost:5000/acme/shop:1\n",
            )],
            "-  - image: localhost:5000/acme/shop:1\n+  - image: localhost:5000/acme/shop:2.0@sha256:B",
        )],
    );
    check(
        "nginx",
        &[shape(
            "docker hub's long name",
            &[(
                "app/web.yaml",
                "kind: Pod\nspec:\n  containers:\n  - image: index.docker.io/library/nginx:1\n",
            )],
            "-  - image: index.docker.io/library/nginx:1\n+  - image: index.docker.io/library/nginx:2.0@sha256:B",
        )],
    );
}
