#include "coordinator/plan/gang.h"

namespace rackmark::plan {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsWord(char c) { return (Lower(c) >= 'a' && Lower(c) <= 'z') || (c >= '0' && c <= '9'); }

bool SameText(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

}  // namespace

bool ModelMatches(std::string_view wanted, std::string_view model) {
  if (wanted.empty()) return false;
  for (size_t at = 0; at + wanted.size() <= model.size(); ++at) {
    if (!SameText(wanted, model.substr(at, wanted.size()))) continue;
    const size_t end = at + wanted.size();
    const bool starts = at == 0 || !IsWord(model[at - 1]) || !IsWord(model[at]);
    const bool ends = end == model.size() || !IsWord(model[end]) || !IsWord(model[end - 1]);
    if (starts && ends) return true;
  }
  return false;
}

bool WellFormed(const GangRequest& request) {
  if (request.devices == 0) return false;
  return !request.per_node.has_value() ||
         (*request.per_node > 0 && request.devices % *request.per_node == 0);
}

Within WidestOf(const GangRequest& request) {
  return request.preferred ? Within::kCluster : request.within;
}

}  // namespace rackmark::plan
