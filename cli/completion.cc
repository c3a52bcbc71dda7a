#include "cli/completion.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/command_table.h"
#include "common/text.h"

namespace rackmark {
namespace {

// What one command offers.
struct Offer {
  std::string flag;  // empty: its words
  std::string help;
  Thing value = Thing::kNothing;
  std::vector<std::string> choices;  // of kChoice
};

std::vector<Offer> OffersOf(const Command& command) {
  std::vector<Offer> offers;
  if (command.outputs != 0) {
    offers.push_back({"output", "how to print", Thing::kChoice, OutputWords(command)});
  }
  for (const FlagRow& row : FlagRows()) {
    if ((row.groups & command.groups) == 0) continue;
    offers.push_back({std::string(row.name), std::string(row.help), row.value, {}});
  }
  offers.push_back({"help", "explain the command", Thing::kNothing, {}});
  Offer words{"", "", command.word, ChoicesOf(command)};
  if (command.word == Thing::kCommand) {
    words.value = Thing::kChoice;
    for (const Command& each : Commands()) words.choices.emplace_back(each.name);
  }
  offers.push_back(std::move(words));
  return offers;
}

std::string CommandNames() {
  std::vector<std::string> names;
  for (const Command& command : Commands()) names.emplace_back(command.name);
  return absl::StrJoin(names, " ");
}

// In single quotes of any of the shells; one inside stands between two such strings.
std::string Quote(std::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(ToAbsl(text), {{"'", "'\\''"}}), "'");
}

std::string BashOffer(const Offer& offer) {
  switch (offer.value) {
    case Thing::kFile: return "_rackmark_paths -f";
    case Thing::kFolder: return "_rackmark_paths -d";
    case Thing::kJob: return "_rackmark_words \"$(_rackmark_jobs)\"";
    case Thing::kReport: return "_rackmark_words \"$(_rackmark_jobs)\"; _rackmark_paths -f";
    case Thing::kChoice:
      return absl::StrCat("_rackmark_words ", Quote(absl::StrJoin(offer.choices, " ")));
    default: return ":";
  }
}

constexpr std::string_view kBashHead =
    R"(# bash completion of rackmark. Try it: source <(rackmark completion bash)
_rackmark_words() { COMPREPLY+=($(compgen -W "$1" -- "$cur")); }
_rackmark_paths() {
  compopt -o filenames 2>/dev/null
  local IFS=$'\n'
  COMPREPLY+=($(compgen "$1" -- "$cur"))
}
# Asks the coordinator that the line or the environment names, and does not wait long.
_rackmark_jobs() {
  local -a where=()
  local i
  for ((i = 2; i + 1 < ${#words[@]}; i++)); do
    case "${words[i]}" in
      --coordinator | --token-file | --tls-cert | --tls-key | --tls-ca)
        where+=("${words[i]}" "${words[i + 1]}") ;;
    esac
  done
  timeout 2 "${words[0]/#\~/$HOME}" jobs "${where[@]}" 2>/dev/null |
    awk '$1 ~ /-j[0-9]+$/ { print $1 }'
}
_rackmark() {
  # The line split at blanks: bash itself would also split unix:/path at its colon.
  local line="${COMP_LINE:0:COMP_POINT}" cur previous
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  cur="${words[${#words[@]} - 1]}"
  previous="${words[${#words[@]} - 2]}"
  COMPREPLY=()
)";

std::string Bash() {
  std::string text(kBashHead);
  absl::StrAppend(&text, "  if ((${#words[@]} <= 2)); then\n    _rackmark_words ",
                  Quote(CommandNames()),
                  "\n    return\n  fi\n  case \"${words[1]} $previous\" in\n");
  for (const Command& command : Commands()) {
    for (const Offer& offer : OffersOf(command)) {
      if (offer.flag.empty() || offer.value == Thing::kNothing) continue;
      absl::StrAppend(&text, "    ", Quote(absl::StrCat(ToAbsl(command.name), " --", offer.flag)),
                      ") ", BashOffer(offer), "; return ;;\n");
    }
  }
  absl::StrAppend(&text, "  esac\n  case \"${words[1]} $cur\" in\n");
  for (const Command& command : Commands()) {
    std::vector<std::string> flags;
    for (const Offer& offer : OffersOf(command)) {
      if (!offer.flag.empty()) flags.push_back("--" + offer.flag);
    }
    absl::StrAppend(&text, "    ", Quote(absl::StrCat(ToAbsl(command.name), " -")), "*) ",
                    "_rackmark_words ", Quote(absl::StrJoin(flags, " ")), " ;;\n");
    absl::StrAppend(&text, "    ", Quote(absl::StrCat(ToAbsl(command.name), " ")), "*) ",
                    BashOffer(OffersOf(command).back()), " ;;\n");
  }
  return absl::StrCat(text, "  esac\n}\ncomplete -F _rackmark rackmark\n");
}

std::string ZshAction(const Offer& offer) {
  switch (offer.value) {
    case Thing::kFile: return "_files";
    case Thing::kFolder: return "_files -/";
    case Thing::kJob: return "_rackmark_jobs";
    case Thing::kReport: return "_rackmark_jobs_or_files";
    case Thing::kChoice: return absl::StrCat("(", absl::StrJoin(offer.choices, " "), ")");
    default: return " ";
  }
}

// Colons and brackets are _arguments' own.
std::string ZshHelp(std::string_view text) {
  return absl::StrReplaceAll(ToAbsl(text), {{"[", "("}, {"]", ")"}, {":", "\\:"}});
}

std::string Zsh() {
  std::string text =
      "#compdef rackmark\n"
      "_rackmark_jobs() {\n"
      "  local -a jobs\n"
      "  jobs=(${(f)\"$(timeout 2 rackmark jobs 2>/dev/null | awk '$1 ~ /-j[0-9]+$/ { print $1 "
      "}')\"})\n"
      "  compadd -a jobs\n}\n"
      "_rackmark_jobs_or_files() { _rackmark_jobs; _files }\n"
      "_rackmark() {\n  local -a commands\n  commands=(\n";
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "    ",
                    Quote(absl::StrCat(ToAbsl(command.name), ":", ZshHelp(command.summary))), "\n");
  }
  absl::StrAppend(&text,
                  "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n"
                  "  fi\n  local name=$words[2]\n  shift words\n  (( CURRENT-- ))\n"
                  "  case $name in\n");
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "    ", ToAbsl(command.name), ")\n      _arguments");
    for (const Offer& offer : OffersOf(command)) {
      const bool plain = offer.value == Thing::kNothing;
      if (offer.flag.empty()) {
        if (!plain) absl::StrAppend(&text, " \\\n        ", Quote("*:word:" + ZshAction(offer)));
        continue;
      }
      absl::StrAppend(&text, " \\\n        ",
                      Quote(absl::StrCat("--", offer.flag, "[", ZshHelp(offer.help), "]",
                                         plain ? "" : ":value:" + ZshAction(offer))));
    }
    absl::StrAppend(&text, " ;;\n");
  }
  return absl::StrCat(text, "  esac\n}\ncompdef _rackmark rackmark\n");
}

std::string FishAction(const Offer& offer) {
  switch (offer.value) {
    case Thing::kNothing: return "";
    case Thing::kFile: return " -r -F";
    case Thing::kFolder: return " -x -a '(__fish_complete_directories)'";
    case Thing::kJob: return " -x -a '(__rackmark_jobs)'";
    case Thing::kReport: return " -r -F -a '(__rackmark_jobs)'";
    case Thing::kChoice: return absl::StrCat(" -x -a ", Quote(absl::StrJoin(offer.choices, " ")));
    default: return " -x";
  }
}

std::string Fish() {
  std::string text =
      "# fish completion of rackmark\n"
      "function __rackmark_jobs\n"
      "  timeout 2 rackmark jobs 2>/dev/null | awk '$1 ~ /-j[0-9]+$/ { print $1 }'\nend\n"
      "complete -c rackmark -f\n";
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "complete -c rackmark -n __fish_use_subcommand -a ",
                    ToAbsl(command.name), " -d ", Quote(command.summary), "\n");
    const std::string when = absl::StrCat("complete -c rackmark -n '__fish_seen_subcommand_from ",
                                          ToAbsl(command.name), "'");
    for (const Offer& offer : OffersOf(command)) {
      if (offer.flag.empty() && offer.value == Thing::kNothing) continue;
      absl::StrAppend(&text, when, offer.flag.empty() ? "" : " -l " + offer.flag, FishAction(offer),
                      offer.help.empty() ? "" : absl::StrCat(" -d ", Quote(offer.help)), "\n");
    }
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(std::string_view shell) {
  if (shell == "bash") return Bash();
  if (shell == "zsh") return Zsh();
  if (shell == "fish") return Fish();
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", EscapeControl(shell), "\" is no shell that we know; write bash, zsh or fish"));
}

}  // namespace rackmark
