"""Files that CI, Git or an editor runs or obeys, although nobody started the app.

In: a path in a repository. Out: whether a tool would act on such a file.
Not here: whether an operator allows them (SAMEBOAT_BUILD_AUTOMATION).
"""

from __future__ import annotations

import re

from service import safe_paths

AUTOMATION_FOLDERS = frozenset({
    # run when a commit is pushed
    ".github", ".gitlab", ".gitea", ".forgejo", ".circleci", ".azure-pipelines", ".buildkite", ".semaphore",
    ".teamcity", ".woodpecker", ".drone", ".tekton", ".builds",
    # run by git, where a person has switched such hooks on
    ".githooks", ".husky",
    # read by an editor, which runs tasks when the folder is opened
    ".vscode", ".devcontainer", ".idea", ".zed", ".fleet", ".cursor", ".claude", ".gemini", ".codex",
})  # fmt: skip
AUTOMATION_FILES = re.compile(
    r"\.gitlab-ci(\..*)?|azure-pipelines(\..*)?|jenkinsfile(\..*)?|bitbucket-pipelines\.ya?ml|\.?appveyor\.ya?ml|\.travis\.ya?ml"
    r"|\.drone\..*|\.woodpecker\..*|\.cirrus\..*|\.build\.ya?ml|cloudbuild\..*|buildspec\.ya?ml|codefresh\.ya?ml"
    r"|\.gitmodules|\.gitattributes|\.lfsconfig"  # other repositories, other bytes at a checkout
    r"|\.pre-commit-(config|hooks)\.ya?ml|\.?lefthook(-local)?\..*|\.huskyrc.*|\.overcommit\.yml"
    r"|\.devcontainer\.json|\.gitpod\..*|.*\.code-workspace|\.envrc|\.exrc|\.nvim\.lua|\.nvimrc|\.mcp\.json"
)
"""Names as `safe_paths.key` gives them."""


def obeyed(path: str) -> bool:
    """Whether CI, Git or an editor runs or obeys a file of this path, although nobody started the app."""
    folders = safe_paths.key(path).split("/")
    name = folders.pop()
    return bool(AUTOMATION_FOLDERS.intersection(folders) or AUTOMATION_FILES.fullmatch(name))
