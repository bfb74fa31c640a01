// GitHub's own client against the forge: App auth, paging, a pull request's life, webhook signatures.
// usage: node octokit.mjs '{"api", "appId", "privateKey", "token", "repo", "secret"}'
import { App } from "@octokit/app";
import { Octokit } from "@octokit/rest";
import { Webhooks } from "@octokit/webhooks";
import assert from "node:assert/strict";

const { api, appId, privateKey, token, repo, secret } = JSON.parse(process.argv[2]);
const [owner, name] = repo.split("/");
const Client = Octokit.defaults({ baseUrl: api, userAgent: "contract" });

const app = new App({ appId, privateKey, Octokit: Client });
const { data: self } = await app.octokit.request("GET /app");
assert.equal(self.id, appId);
const { data: installation } = await app.octokit.request("GET /repos/{owner}/{repo}/installation", { owner, repo: name });
const bot = await app.getInstallationOctokit(installation.id);
const repositories = await bot.paginate("GET /installation/repositories", { per_page: 1 });
assert.ok(repositories.length >= 2, "paging follows Link");

const user = new Client({ auth: token });
const { data: main } = await user.git.getRef({ owner, repo: name, ref: "heads/main" });
await bot.request("POST /repos/{owner}/{repo}/git/refs", { owner, repo: name, ref: "refs/heads/octokit", sha: main.object.sha });
const commit = await bot.graphql(
  "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }",
  { input: { branch: { repositoryNameWithOwner: repo, branchName: "octokit" }, expectedHeadOid: main.object.sha, message: { headline: "A change" },
      fileChanges: { additions: [{ path: "octokit.txt", contents: Buffer.from("hello\n").toString("base64") }] } } });
const head = commit.createCommitOnBranch.commit.oid;
await assert.rejects(
  bot.graphql("mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }",
    { input: { branch: { repositoryNameWithOwner: repo, branchName: "octokit" }, expectedHeadOid: main.object.sha, message: { headline: "Stale" } } }),
  /but it did not/);

const { data: pull } = await bot.request("POST /repos/{owner}/{repo}/pulls", { owner, repo: name, title: "By Octokit", head: "octokit", base: "main" });
await assert.rejects(bot.request("POST /repos/{owner}/{repo}/pulls", { owner, repo: name, title: "Twice", head: "octokit", base: "main" }), /already exists/);
const { data: comment } = await user.issues.createComment({ owner, repo: name, issue_number: pull.number, body: "Looks good" });
await user.reactions.createForIssueComment({ owner, repo: name, comment_id: comment.id, content: "rocket" });
await bot.request("POST /repos/{owner}/{repo}/statuses/{sha}", { owner, repo: name, sha: head, state: "success", context: "octokit", description: "fine" });
await assert.rejects(
  bot.request("POST /repos/{owner}/{repo}/statuses/{sha}", { owner, repo: name, sha: head, state: "success", description: "x".repeat(141) }), /too long/);
await assert.rejects(bot.request("POST /repos/{owner}/{repo}/hooks", { owner, repo: name, config: { url: "https://example.com" } }));
const comments = await user.paginate(user.issues.listComments, { owner, repo: name, issue_number: pull.number, per_page: 1 });
assert.equal(comments.at(-1).body, "Looks good");
await assert.rejects(user.pulls.merge({ owner, repo: name, pull_number: pull.number, sha: main.object.sha }), (error) => error.status === 409);
const { data: merged } = await user.pulls.merge({ owner, repo: name, pull_number: pull.number, sha: head });
assert.ok(merged.merged);
const { data: after } = await user.git.getRef({ owner, repo: name, ref: "heads/main" });
assert.equal(after.object.sha, merged.sha);

const webhooks = new Webhooks({ secret });
const body = JSON.stringify({ hello: "world" });
assert.ok(await webhooks.verify(body, await webhooks.sign(body)));
console.log(`octokit: ok, #${pull.number} merged as ${merged.sha}`);
