//! Kustomizations: entries that are there, and entries that an overlay needs.

use super::*;

const BASE: (&str, &str) = (
    "base/deployment.yaml",
    "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: a\n          image: ghcr.io/acme/shop:1.0\n",
);

#[test]
fn entries_are_set_where_they_stand() {
    check(
        "ghcr.io/acme/shop",
        &[
            shape(
                "tag alone",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: ghcr.io/acme/shop\n  newTag: '1.0'\n",
                )],
                "-  newTag: '1.0'\n+  newTag: '2.0'\n+  digest: sha256:B",
            ),
            shape(
                "tag and digest",
                &[(
                    "app/kustomization.yaml",
                    "images:\n  - name: ghcr.io/acme/shop\n    newTag: v1\n    digest: sha256:1\n",
                )],
                "-    newTag: v1\n-    digest: sha256:1\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "digest first",
                &[(
                    "app/kustomization.yaml",
                    "images:\n  - digest: sha256:1\n    name: ghcr.io/acme/shop\n",
                )],
                "-  - digest: sha256:1\n+  - digest: sha256:B\n+    newTag: \"2.0\"",
            ),
            shape(
                "a placeholder's name",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: controller\n  newName: ghcr.io/acme/shop\n  newTag: v1\n",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "flow mapping",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- { name: ghcr.io/acme/shop, newTag: v1 }\n",
                )],
                "-- { name: ghcr.io/acme/shop, newTag: v1 }\n+- { name: ghcr.io/acme/shop, newTag: \"2.0\", digest: sha256:B }",
            ),
            shape(
                "flow list",
                &[(
                    "app/kustomization.yaml",
                    "images: [{name: ghcr.io/acme/shop, newTag: v1}]\n",
                )],
                "-images: [{name: ghcr.io/acme/shop, newTag: v1}]\n+images: [{name: ghcr.io/acme/shop, newTag: \"2.0\", digest: sha256:B}]",
            ),
            shape(
                "quotes and comments",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: \"ghcr.io/acme/shop\" # the shop\n  newTag: \"1.0\" # {\"$imagepolicy\": \"flux-system:shop:tag\"}\n",
                )],
                "-  newTag: \"1.0\" # {\"$imagepolicy\": \"flux-system:shop:tag\"}\n+  newTag: \"2.0\" # {\"$imagepolicy\": \"flux-system:shop:tag\"}\n+  digest: sha256:B",
            ),
            shape(
                "among others",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: ghcr.io/acme/shop-web\n  newTag: v1\n- name: ghcr.io/acme/shop\n  newTag: v1\n- name: redis\n  newTag: '7'\n",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "name of the other registry",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: docker.io/acme/shop\n  newName: ghcr.io/acme/shop\n",
                )],
                "+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "yml",
                &[(
                    "app/kustomization.yml",
                    "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "a component",
                &[(
                    "app/part.yaml",
                    "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n- name: ghcr.io/acme/shop\n  newTag: v1\n",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "the manifest that it overrides stays",
                &[
                    (
                        "app/kustomization.yaml",
                        "resources: [web.yaml]\nimages:\n- name: ghcr.io/acme/shop\n  newTag: v1\n",
                    ),
                    (
                        "app/web.yaml",
                        "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/acme/shop:0.9\n",
                    ),
                ],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "windows lines",
                &[(
                    "app/kustomization.yaml",
                    "images:\r\n- name: ghcr.io/acme/shop\r\n  newTag: v1\r\n",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "no line break at the end",
                &[(
                    "app/kustomization.yaml",
                    "images:\n- name: ghcr.io/acme/shop\n  newTag: v1",
                )],
                "-  newTag: v1\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
        ],
    );
}

#[test]
fn an_overlay_gets_an_entry_for_what_its_base_sets() {
    check(
        "ghcr.io/acme/shop",
        &[
            shape(
                "no images yet",
                &[
                    ("app/kustomization.yaml", "resources:\n  - ../base\n"),
                    BASE,
                ],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "lists at the margin",
                &[("app/kustomization.yaml", "resources:\n- ../base\n"), BASE],
                "+images:\n+- name: ghcr.io/acme/shop\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "flow resources",
                &[("app/kustomization.yaml", "resources: [../base]\n"), BASE],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "other entries",
                &[
                    (
                        "app/kustomization.yaml",
                        "images:\n  - name: redis\n    newTag: '7' # seven\nnamespace: x\n",
                    ),
                    BASE,
                ],
                "+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "other entries at the margin",
                &[
                    (
                        "app/kustomization.yaml",
                        "resources: [../base]\nimages:\n- name: redis\n  newTag: '7'\n",
                    ),
                    BASE,
                ],
                "+- name: ghcr.io/acme/shop\n+  newTag: \"2.0\"\n+  digest: sha256:B",
            ),
            shape(
                "wide dashes",
                &[
                    (
                        "app/kustomization.yaml",
                        "images:\n-   name: redis\n    newTag: '7'\n",
                    ),
                    BASE,
                ],
                "+-   name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "a flow list",
                &[
                    (
                        "app/kustomization.yaml",
                        "images: [{name: redis, newTag: '7'}]\n",
                    ),
                    BASE,
                ],
                "-images: [{name: redis, newTag: '7'}]\n+images: [{name: redis, newTag: '7'}, {name: ghcr.io/acme/shop, newTag: \"2.0\", digest: sha256:B}]",
            ),
            shape(
                "flow entries",
                &[
                    (
                        "app/kustomization.yaml",
                        "images:\n  - {name: redis, newTag: '7'}\n",
                    ),
                    BASE,
                ],
                "+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "an empty list",
                &[
                    (
                        "app/kustomization.yaml",
                        "resources: [../base]\nimages: []\n",
                    ),
                    BASE,
                ],
                "refused: app/kustomization.yaml: its `images:` is empty: take the line out, or add an entry",
            ),
            shape(
                "no line break at the end",
                &[("app/kustomization.yaml", "resources: [../base]"), BASE],
                "-resources: [../base]\n+resources: [../base]\n+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "the base renames it",
                &[
                    ("app/kustomization.yaml", "resources: [../base]\n"),
                    (
                        "base/kustomization.yaml",
                        "images:\n- name: shop\n  newName: ghcr.io/acme/shop\n  newTag: v1\n",
                    ),
                ],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "two containers of the base",
                &[
                    ("app/kustomization.yaml", "resources: [../base]\n"),
                    (
                        "base/a.yaml",
                        "kind: Pod\nspec:\n  initContainers: [{image: 'ghcr.io/acme/shop:1'}]\n  containers: [{image: 'ghcr.io/acme/shop:1'}]\n",
                    ),
                ],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "nobody sets it",
                &[
                    ("app/kustomization.yaml", "resources: [../base]\n"),
                    (
                        "base/a.yaml",
                        "kind: Pod\nspec: {containers: [{image: redis}]}\n",
                    ),
                ],
                "refused: no file in app sets `ghcr.io/acme/shop`: add an entry `name: ghcr.io/acme/shop` to the `images:` of app/kustomization.yaml, or use it in an `image:` field",
            ),
            shape(
                "comments at the end",
                &[
                    (
                        "app/kustomization.yaml",
                        "resources: [../base]\n# the end\n",
                    ),
                    BASE,
                ],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "windows lines",
                &[
                    ("app/kustomization.yaml", "resources:\r\n  - ../base\r\n"),
                    BASE,
                ],
                "+images:\n+  - name: ghcr.io/acme/shop\n+    newTag: \"2.0\"\n+    digest: sha256:B",
            ),
        ],
    );
    check(
        "redis",
        &[shape(
            "spelled as the base spells it",
            &[
                ("app/kustomization.yaml", "resources: [../base]\n"),
                (
                    "base/a.yaml",
                    "kind: Pod\nspec: {containers: [{image: 'docker.io/library/redis:7'}]}\n",
                ),
            ],
            "+images:\n+  - name: docker.io/library/redis\n+    newTag: \"2.0\"\n+    digest: sha256:B",
        )],
    );
}
