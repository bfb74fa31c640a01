"""A client written by others against the forge: App auth, paging, a pull request's life, a webhook's signature.

usage: pygithub.py '{"api", "appId", "privateKey", "token", "repo", "delivery": {"body", "signature"}, "secret"}'
"""

import hashlib
import hmac
import json
import sys

from github import Auth, Github, GithubException, GithubIntegration

given = json.loads(sys.argv[1])
app = Auth.AppAuth(given["appId"], given["privateKey"])
integration = GithubIntegration(auth=app, base_url=given["api"])
owner, name = given["repo"].split("/")
installation = integration.get_repo_installation(owner, name)
bot = integration.get_github_for_installation(installation.id)
repo = bot.get_repo(given["repo"])

main = repo.get_branch("main")
repo.create_git_ref("refs/heads/pygithub", main.commit.sha)
user = Github(auth=Auth.Token(given["token"]), base_url=given["api"], per_page=1)
assert user.get_user().login == "bob"
theirs = user.get_repo(given["repo"])
assert theirs.get_collaborator_permission("rita") == "read"
try:
    repo.create_pull(base="main", head="pygithub", title="Nothing in it")
    raise AssertionError("a pull request without commits was opened")
except GithubException as refused:
    assert refused.status == 422, refused
# The commit is made over git's own transport before this script runs.
head = repo.get_branch("pushed").commit.sha
pull = repo.create_pull(base="main", head="pushed", title="By PyGithub", body="")
for text in ["one", "two", "three"]:
    theirs.get_pull(pull.number).create_issue_comment(text)
assert [comment.body for comment in theirs.get_pull(pull.number).get_issue_comments()][-3:] == ["one", "two", "three"]
theirs.get_pull(pull.number).create_review(body="fine", event="APPROVE")
assert [review.state for review in theirs.get_pull(pull.number).get_reviews()] == ["APPROVED"]
result = theirs.get_pull(pull.number).merge(sha=head)
assert result.merged
assert theirs.get_pull(pull.number).merged
signed = "sha256=" + hmac.new(given["secret"].encode(), given["delivery"]["body"].encode(), hashlib.sha256).hexdigest()
assert hmac.compare_digest(signed, given["delivery"]["signature"])
print(f"pygithub: ok, #{pull.number} merged as {result.sha}")
