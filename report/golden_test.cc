// Golden files for the tests of the renderers.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "report/test_job.h"

namespace rackmark {

std::string ReadSource(const std::string& path) {
  std::ifstream in(std::string(RACKMARK_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = "tests/golden/" + name;
  if (std::getenv("RACKMARK_REWRITE_GOLDEN") != nullptr) {
    std::ofstream(std::string(RACKMARK_SOURCE_DIR) + "/" + path) << text;
  }
  EXPECT_EQ(text, ReadSource(path)) << path << " differs; RACKMARK_REWRITE_GOLDEN=1 rewrites it";
}

}  // namespace rackmark
