// Structured lines on stderr: "<RFC 3339> <level> <program>: <message>". The only file that knows
// spdlog. Thread-safe. Address cards and tokens never go in here.
#pragma once

#include <string_view>

namespace rackmark {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Once, at the start of main. `name` stands in every line.
void InitLog(std::string_view name, LogLevel minimum);
void Log(LogLevel level, std::string_view message);

}  // namespace rackmark
