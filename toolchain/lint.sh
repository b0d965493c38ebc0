#!/usr/bin/env bash
# What `make lint` calls: every check, each with a line of what it looks at. All of them run, so that
# one call shows all there is to mend; the exit code is 1 if any found something.
set -euo pipefail

cd "$(dirname "$0")/.."
PATH=$PWD/.tinderbox/bin:$PWD/.venv/bin:$PATH
failed=()

# check WHAT COMMAND...
check() {
  local what=$1
  shift
  echo "lint: $what"
  "$@" || failed+=("$what")
}

# Files that git has, or would take: one a line.
files() {
  git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
    [[ ! -f $file ]] || printf '%s\n' "$file"
  done
}

# Shell by its suffix, or by its first line where a program has none.
shell_scripts() {
  local file first
  files '*.sh'
  files ':!*.*' | while IFS= read -r file; do
    IFS= read -r first <"$file" || true
    [[ ! $first =~ ^#!.*[/\ ](ba|da)?sh ]] || printf '%s\n' "$file"
  done
}

# Clients know their registries; a repo that names one works around their configuration (a proxy,
# a mirror). Written so that this file does not match itself.
names_no_registry() {
  local hosts='(proxy|sum)\.golang\.org|pypi\.org|pythonhosted\.org|(deb|security)\.debian\.org'
  hosts+='|repo1?\.maven\.(org|apache\.org)|registry\.npmjs\.org'
  ! git grep --untracked -nIE "$hosts"
}

mapfile -t shell < <(shell_scripts)
mapfile -t workflows < <(files '.github/workflows/*.yml' '.github/workflows/*.yaml')
mapfile -t charts < <(files 'charts/*/Chart.yaml')

check "ruff: style and imports of the Python files" ruff check --quiet --output-format concise
check "ruff: layout of the Python files" ruff format --check --quiet
check "ty: types of the Python files" ty check --output-format concise
check "shellcheck: ${#shell[@]} shell scripts" shellcheck --external-sources "${shell[@]}"
if ((${#workflows[@]})); then
  # Built from its Go module where there is none.
  actionlint=$(command -v actionlint || python3 -c 'from toolchain import builds; print(builds.binary("actionlint"))')
  check "actionlint: ${#workflows[@]} workflows" "$actionlint" "${workflows[@]}"
fi
for chart in "${charts[@]}"; do
  check "helm: ${chart%/Chart.yaml}" helm lint --strict --quiet "${chart%/Chart.yaml}"
done
check "no file names a package registry" names_no_registry

if ((${#failed[@]})); then
  printf 'lint: found by %s\n' "${failed[@]}" >&2
  exit 1
fi
