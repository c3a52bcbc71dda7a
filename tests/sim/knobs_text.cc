// Knobs as text: each by its name, so that a command line can say any of them.
#include <charconv>
#include <iterator>
#include <limits>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/sim/knobs.h"

namespace rackmark::sim {
namespace {

using Member =
    std::variant<uint32_t Knobs::*, uint64_t Knobs::*, bool Knobs::*, double Knobs::*,
                 Nanos Knobs::*, std::optional<Nanos> Knobs::*, std::optional<uint64_t> Knobs::*>;
struct Field {
  const char* name;
  Member member;
};

const Field kFields[] = {
    {"workers", &Knobs::workers},
    {"devices", &Knobs::devices},
    {"racks", &Knobs::racks},
    {"gpus", &Knobs::gpus},
    {"domain", &Knobs::domain},
    {"lone", &Knobs::lone},
    {"models", &Knobs::models},
    {"rows", &Knobs::rows},
    {"coordinators", &Knobs::coordinators},
    {"faults_for", &Knobs::faults_for},
    {"heal_within", &Knobs::heal_within},
    {"jobs", &Knobs::jobs},
    {"suites", &Knobs::suites},
    {"schedules", &Knobs::schedules},
    {"cancel", &Knobs::cancel},
    {"picky", &Knobs::picky},
    {"exclusive", &Knobs::exclusive},
    {"operators", &Knobs::operators},
    {"delay_min", &Knobs::delay_min},
    {"delay_max", &Knobs::delay_max},
    {"loss", &Knobs::loss},
    {"copies", &Knobs::copies},
    {"reorder", &Knobs::reorder},
    {"breaks", &Knobs::breaks},
    {"partitions", &Knobs::partitions},
    {"daemon_kills", &Knobs::daemon_kills},
    {"daemon_stops", &Knobs::daemon_stops},
    {"reboots", &Knobs::reboots},
    {"rank_kills", &Knobs::rank_kills},
    {"rank_stops", &Knobs::rank_stops},
    {"rank_hangs", &Knobs::rank_hangs},
    {"sick_devices", &Knobs::sick_devices},
    {"rank_fails", &Knobs::rank_fails},
    {"coordinator_kills", &Knobs::coordinator_kills},
    {"coordinator_stops", &Knobs::coordinator_stops},
    {"append_fails", &Knobs::append_fails},
    {"slow_disk", &Knobs::slow_disk},
    {"fail_write", &Knobs::fail_write},
    {"fail_lands", &Knobs::fail_lands},
    {"drift_ppm", &Knobs::drift_ppm},
    {"wall_steps", &Knobs::wall_steps},
    {"snapshot_events", &Knobs::snapshot_events},
};

// In the order of enum Plant.
constexpr const char* kPlants[] = {"none",
                                   "forgotten-ranks",
                                   "early-measure",
                                   "cut-gang",
                                   "uneven-gang",
                                   "mixed-gang",
                                   "stray-rank",
                                   "wrong-node",
                                   "shared-exclusive",
                                   "write-behind",
                                   "late-samples",
                                   "no-fence",
                                   "old-epoch",
                                   "measured-twice",
                                   "skipped-attempt",
                                   "pile-of-reports",
                                   "instant-twice",
                                   "instant-back",
                                   "chance",
                                   "kept-ranks"};
static_assert(std::size(kPlants) == static_cast<size_t>(Plant::kKeptRanks) + 1);

struct Unit {
  const char* name;
  Nanos size;
};
constexpr Unit kUnits[] = {
    {"s", kSecond}, {"ms", kMillisecond}, {"us", kMicrosecond}, {"ns", Nanos{1}}};

std::string Show(uint32_t value) { return absl::StrCat(value); }
std::string Show(uint64_t value) { return absl::StrCat(value); }
std::string Show(bool value) { return value ? "true" : "false"; }
// The shortest text that is read as the same number.
std::string Show(double value) {
  char text[64];
  return {text, std::to_chars(std::begin(text), std::end(text), value).ptr};
}
std::string Show(Nanos value) {
  for (const Unit& unit : kUnits) {
    if (value % unit.size == 0) return absl::StrCat(value / unit.size, unit.name);
  }
  return "";  // not reached: of ns there is any number
}
template <typename T>
std::string Show(const std::optional<T>& value) {
  return value ? Show(*value) : "none";
}

bool ReadValue(const std::string& text, uint32_t* out) { return absl::SimpleAtoi(text, out); }
bool ReadValue(const std::string& text, uint64_t* out) { return absl::SimpleAtoi(text, out); }
bool ReadValue(const std::string& text, bool* out) {
  *out = text == "true";
  return *out || text == "false";
}
bool ReadValue(const std::string& text, double* out) { return absl::SimpleAtod(text, out); }
bool ReadValue(const std::string& text, Nanos* out) {
  const size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string::npos) return false;
  for (const Unit& unit : kUnits) {
    if (text.substr(digits) != unit.name || !absl::SimpleAtoi(text.substr(0, digits), out)) {
      continue;
    }
    if (*out > std::numeric_limits<Nanos>::max() / unit.size) return false;
    *out *= unit.size;
    return true;
  }
  return false;
}
template <typename T>
bool ReadValue(const std::string& text, std::optional<T>* out) {
  if (text == "none") {
    out->reset();
    return true;
  }
  return ReadValue(text, &out->emplace());
}

const char* KindOf(const Member& member) {
  constexpr const char* kKinds[] = {"a number",
                                    "a number",
                                    "true or false",
                                    "a number",
                                    "a time like 20s, 5ms or 300us",
                                    "a time like 20s, 5ms or 300us, or none",
                                    "a number or none"};
  return kKinds[member.index()];
}

}  // namespace

absl::Status SetKnob(Knobs& knobs, const std::string& name, const std::string& value) {
  std::vector<std::string> names;
  for (const Field& field : kFields) {
    names.emplace_back(field.name);
    if (name != field.name) continue;
    const bool read =
        std::visit([&](auto member) { return ReadValue(value, &(knobs.*member)); }, field.member);
    if (read) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("knob ", name, " is \"", value, "\", must be ", KindOf(field.member)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no knob \"", name, "\"; there are ", absl::StrJoin(names, ", ")));
}

std::vector<std::pair<std::string, std::string>> ListKnobs(const Knobs& knobs) {
  std::vector<std::pair<std::string, std::string>> list;
  for (const Field& field : kFields) {
    list.emplace_back(field.name,
                      std::visit([&](auto member) { return Show(knobs.*member); }, field.member));
  }
  return list;
}

absl::Status CheckKnobs(const Knobs& knobs) {
  const auto bad = [](const char* what) { return absl::InvalidArgumentError(what); };
  if (knobs.workers < 1 || knobs.workers > 10'000) return bad("workers must be 1 to 10000");
  if (knobs.devices < 1 || knobs.devices > 64) return bad("devices must be 1 to 64");
  if (knobs.models < 1) return bad("models must be 1 at least");
  if (knobs.coordinators < 1 || knobs.coordinators > 16) return bad("coordinators must be 1 to 16");
  if (knobs.delay_min > knobs.delay_max) return bad("delay_min must not be over delay_max");
  if (knobs.snapshot_events < 1) return bad("snapshot_events must be 1 at least");
  if (knobs.drift_ppm > 100'000) return bad("drift_ppm must be 100000 at most");
  for (const Field& field : kFields) {
    const auto* mean = std::get_if<std::optional<Nanos> Knobs::*>(&field.member);
    if (mean != nullptr && knobs.**mean && *(knobs.**mean) < kMillisecond) {
      return absl::InvalidArgumentError(absl::StrCat(field.name, " must be 1ms at least, or none"));
    }
    const auto* share = std::get_if<double Knobs::*>(&field.member);
    if (share != nullptr && !(knobs.**share >= 0 && knobs.**share <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(field.name, " must be 0 to 1"));
    }
  }
  return absl::OkStatus();
}

std::string Describe(const Knobs& knobs) {
  std::string line = absl::StrCat("seed=", knobs.seed);
  if (knobs.plant != Plant::kNone) absl::StrAppend(&line, " plant=", NameOf(knobs.plant));
  for (const auto& [name, value] : ListKnobs(knobs)) absl::StrAppend(&line, " ", name, "=", value);
  return line;
}

std::string NameOf(Plant plant) { return kPlants[static_cast<size_t>(plant)]; }

std::optional<Plant> PlantOf(const std::string& name) {
  for (size_t i = 0; i < std::size(kPlants); ++i) {
    if (name == kPlants[i]) return static_cast<Plant>(i);
  }
  return std::nullopt;
}

}  // namespace rackmark::sim
