"""The completion scripts of `kubectl flux completion`, one for each shell.

Each hands the words of the line to `kubectl-flux __complete` and shows what that prints; see `completion`.
"""

from __future__ import annotations

_BASH = r"""# bash completion for kubectl-flux

_kubectl_flux() {
    local line="${COMP_LINE:0:COMP_POINT}" out directive candidate current
    local -a words
    COMPREPLY=()
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    [[ $current == --*=* ]] && current="${current#*=}"
    out="$(kubectl-flux __complete "${words[@]:1}" 2>/dev/null)" || return
    directive="${out##*:}"
    while IFS= read -r candidate; do
        case "$candidate" in
            ""|:[0-9]*) ;;
            *) COMPREPLY+=("${candidate%%$'\t'*}") ;;
        esac
    done <<<"$out"
    case "$directive" in
        0) while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current") ;;
        16) while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -d -- "$current") ;;
    esac
    # bash replaces only what follows the last colon.
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
    fi
}

complete -o bashdefault -F _kubectl_flux kubectl-flux
"""

_ZSH = r"""#compdef kubectl-flux
# zsh completion for kubectl-flux

_kubectl_flux() {
    local out directive line value
    local -a candidates
    out="$(kubectl-flux __complete "${(Q@)words[2,CURRENT]}" 2>/dev/null)" || return
    directive="${out##*:}"
    for line in "${(@f)out}"; do
        [[ -z $line || $line == :[0-9]* ]] && continue
        value="${line%%$'\t'*}"
        candidates+=("${value//:/\\:}${${line#$value}/$'\t'/:}")
    done
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    case "$directive" in
        0) _files ;;
        16) _files -/ ;;
        *) _describe -V 'kubectl flux' candidates ;;
    esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _kubectl_flux "$@"
else
    compdef _kubectl_flux kubectl-flux
fi
"""

_FISH = r"""# fish completion for kubectl-flux

function __kubectl_flux_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l out (kubectl-flux __complete $words[2..-1] "$current" 2>/dev/null)
    set -l prefix (string match -r -- '^--[^=]*=' "$current")
    switch "$out[-1]"
        case ':0'
            set out (__fish_complete_path (string replace -- "$prefix" '' "$current"))
        case ':16'
            set out (__fish_complete_directories (string replace -- "$prefix" '' "$current"))
    end
    for line in (string match -v -r -- '^:[0-9]+$' $out)
        printf '%s%s\n' "$prefix" "$line"
    end
end

complete -c kubectl-flux -f -a '(__kubectl_flux_complete)'
"""

_POWERSHELL = r"""# PowerShell completion for kubectl-flux

Register-ArgumentCompleter -Native -CommandName 'kubectl-flux' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        Select-Object -Skip 1 | ForEach-Object { "$_" })
    if ($wordToComplete -eq '') {
        # Before 7.3 an empty argument reaches a program only with quotes of its own.
        if ($PSVersionTable.PSVersion -lt [version]'7.3') { $words += '""' } else { $words += '' }
    }
    $prefix = if ($wordToComplete -match '^--[^=]*=') { $Matches[0] } else { '' }
    & kubectl-flux __complete @words 2>$null | Where-Object { $_ -notmatch '^:\d+$' } | ForEach-Object {
        $value, $text = $_ -split "`t", 2
        if (-not $text) { $text = $value }
        [System.Management.Automation.CompletionResult]::new("$prefix$value", $value, 'ParameterValue', $text)
    }
}
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}
SHELLS = tuple(SCRIPTS)
