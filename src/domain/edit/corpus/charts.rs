//! Values of charts.

use super::*;

#[test]
fn values_are_set_as_the_chart_takes_them() {
    check(
        "ghcr.io/acme/shop",
        &[
            shape(
                "repository and tag",
                &[(
                    "app/values.yaml",
                    "image:\n  repository: ghcr.io/acme/shop\n  pullPolicy: IfNotPresent\n  tag: \"1.0\"\n",
                )],
                "-  tag: \"1.0\"\n+  tag: \"2.0@sha256:B\"",
            ),
            shape(
                "an empty tag",
                &[(
                    "app/values.yaml",
                    "image:\n  repository: ghcr.io/acme/shop\n  tag: \"\"\n",
                )],
                "-  tag: \"\"\n+  tag: \"2.0@sha256:B\"",
            ),
            shape(
                "no tag",
                &[(
                    "app/values.yaml",
                    "image:\n  repository: ghcr.io/acme/shop\n  pullPolicy: Always\n",
                )],
                "+  tag: 2.0@sha256:B",
            ),
            shape(
                "registry, repository, tag, digest",
                &[(
                    "app/values.yaml",
                    "image:\n  registry: ghcr.io\n  repository: acme/shop\n  tag: 1.0.0-r3\n  digest: \"\"\n",
                )],
                "-  tag: 1.0.0-r3\n-  digest: \"\"\n+  tag: \"2.0\"\n+  digest: \"sha256:B\"",
            ),
            shape(
                "another registry",
                &[(
                    "app/values.yaml",
                    "image:\n  registry: docker.io\n  repository: acme/shop\n  tag: v1\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: set it in app/values.yaml, as `image: { repository: ghcr.io/acme/shop, tag: … }` or as the chart takes it",
            ),
            shape(
                "a whole reference",
                &[("app/values.yaml", "web:\n  image: ghcr.io/acme/shop:1.0\n")],
                "-  image: ghcr.io/acme/shop:1.0\n+  image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "imageName",
                &[("app/values.yaml", "imageName: ghcr.io/acme/shop:1.0\n")],
                "-imageName: ghcr.io/acme/shop:1.0\n+imageName: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "a tag beside the image",
                &[(
                    "app/values.yaml",
                    "image: ghcr.io/acme/shop\nimageTag: v1\n",
                )],
                "-imageTag: v1\n+imageTag: 2.0@sha256:B",
            ),
            shape(
                "several components",
                &[(
                    "app/values.yaml",
                    "api:\n  image: {repository: ghcr.io/acme/shop, tag: v1}\nworker:\n  image: {repository: ghcr.io/acme/shop, tag: v1}\nredis:\n  image: {repository: redis, tag: '7'}\n",
                )],
                "-  image: {repository: ghcr.io/acme/shop, tag: v1}\n+  image: {repository: ghcr.io/acme/shop, tag: 2.0@sha256:B}\n-  image: {repository: ghcr.io/acme/shop, tag: v1}\n+  image: {repository: ghcr.io/acme/shop, tag: 2.0@sha256:B}",
            ),
            shape(
                "in lists",
                &[(
                    "app/values.yaml",
                    "sidecars:\n  - name: a\n    image:\n      repository: ghcr.io/acme/shop\n      tag: v1\n",
                )],
                "-      tag: v1\n+      tag: 2.0@sha256:B",
            ),
            shape(
                "controllers and containers",
                &[(
                    "app/values.yaml",
                    "controllers:\n  main:\n    containers:\n      app:\n        image:\n          repository: ghcr.io/acme/shop\n          tag: 1.0@sha256:1111\n",
                )],
                "-          tag: 1.0@sha256:1111\n+          tag: 2.0@sha256:B",
            ),
            shape(
                "a subchart",
                &[(
                    "app/values.yaml",
                    "shop:\n  image:\n    repository: ghcr.io/acme/shop\n    tag: v1\n",
                )],
                "-    tag: v1\n+    tag: 2.0@sha256:B",
            ),
            shape(
                "a template in the file",
                &[(
                    "app/values.yaml",
                    "image:\n  repository: ghcr.io/acme/shop\n  tag: v1\nextra: |\n  image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n",
                )],
                "-  tag: v1\n+  tag: 2.0@sha256:B",
            ),
            shape(
                "comments stay",
                &[(
                    "app/values.yaml",
                    "# the shop\nimage: # where\n  repository: ghcr.io/acme/shop # which\n  tag: v1 # when\n",
                )],
                "-  tag: v1 # when\n+  tag: 2.0@sha256:B # when",
            ),
            shape(
                "an alias",
                &[(
                    "app/values.yaml",
                    "tag: &tag v1\nimage:\n  repository: ghcr.io/acme/shop\n  tag: *tag\n",
                )],
                "refused: app/values.yaml: the edit would change more than it should (an alias, an anchor, a template or a duplicate key is in the way): write it as a plain value",
            ),
            shape(
                "json",
                &[(
                    "app/values.json",
                    "{\n  \"image\": {\n    \"repository\": \"ghcr.io/acme/shop\",\n    \"tag\": \"v1\"\n  }\n}\n",
                )],
                "-    \"tag\": \"v1\"\n+    \"tag\": \"2.0@sha256:B\"",
            ),
            shape(
                "json without a tag",
                &[(
                    "app/values.json",
                    "{\n  \"image\": {\n    \"repository\": \"ghcr.io/acme/shop\"\n  }\n}\n",
                )],
                "-    \"repository\": \"ghcr.io/acme/shop\"\n+    \"repository\": \"ghcr.io/acme/shop\", \"tag\": \"2.0@sha256:B\"",
            ),
            shape(
                "upper case",
                &[(
                    "app/values.yaml",
                    "image:\n  repository: ghcr.io/Acme/Shop\n  tag: v1\n",
                )],
                "-  tag: v1\n+  tag: 2.0@sha256:B",
            ),
        ],
    );
}

#[test]
fn what_the_chart_sets_is_overridden_in_the_own_values() {
    const CHART: (&str, &str) = (
        "base/values.yaml",
        "image:\n  repository: ghcr.io/acme/shop\n  tag: v1\n",
    );
    const DIGEST: (&str, &str) = (
        "base/values.yaml",
        "web:\n  image:\n    repository: ghcr.io/acme/shop\n    tag: v1\n    digest: ''\n",
    );
    check(
        "ghcr.io/acme/shop",
        &[
            shape(
                "nothing of it there",
                &[("app/values.yaml", "replicas: 2\n"), CHART],
                "+image:\n+  tag: 2.0@sha256:B",
            ),
            shape(
                "something of it there",
                &[
                    (
                        "app/values.yaml",
                        "image:\n  pullPolicy: Always\nreplicas: 2\n",
                    ),
                    CHART,
                ],
                "+  tag: 2.0@sha256:B",
            ),
            shape(
                "the tag is there",
                &[("app/values.yaml", "image:\n  tag: v1\n"), CHART],
                "-  tag: v1\n+  tag: 2.0@sha256:B",
            ),
            shape(
                "an empty file",
                &[("app/values.yaml", ""), CHART],
                "+image:\n+  tag: 2.0@sha256:B",
            ),
            shape(
                "comments alone",
                &[("app/values.yaml", "# nothing yet\n"), CHART],
                "+image:\n+  tag: 2.0@sha256:B",
            ),
            shape(
                "deeper, with a digest",
                &[("app/values.yaml", "replicas: 2\n"), DIGEST],
                "+web:\n+  image:\n+    tag: \"2.0\"\n+    digest: sha256:B",
            ),
            shape(
                "the chart has a reference",
                &[
                    ("app/values.yaml", "replicas: 2\n"),
                    ("base/values.yaml", "web: {image: 'ghcr.io/acme/shop:v1'}\n"),
                ],
                "+web:\n+  image: ghcr.io/acme/shop:2.0@sha256:B",
            ),
            shape(
                "in a list of the chart",
                &[
                    ("app/values.yaml", "replicas: 2\n"),
                    ("base/values.yaml", "all:\n- image: ghcr.io/acme/shop:v1\n"),
                ],
                "refused: app/values.yaml: the chart sets it in a list: set it once by hand",
            ),
            shape(
                "no values of one's own",
                &[(
                    "base/values.yaml",
                    "image: {repository: ghcr.io/acme/shop, tag: v1}\n",
                )],
                "refused: no file in app sets `ghcr.io/acme/shop`: use it in an `image:` field",
            ),
        ],
    );
}
