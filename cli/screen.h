// Where progress goes: a few lines that are redrawn in place on a terminal, or plain lines in a
// pipe. On stderr, so that stdout holds results only; that of `watch` is its result. One thread.
#pragma once

#include <string>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

class Screen {
 public:
  explicit Screen(int fd);
  ~Screen();  // Clear
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // The job calibrates: known from its file, or seen (Show), and then kept.
  void Calibrates() { calibrates_ = true; }
  // Draws on a terminal at most 4 times a second; in a pipe at each new phase and every 5 s.
  void Show(const v1::WatchJobReply& reply, Nanos elapsed);
  // One line that stays; live lines go on below it. Control characters are escaped here, so that
  // no caller can forget it of a text from outside.
  void Say(const std::string& line);
  // The errno of a write that failed: nobody reads any more. 0 = none.
  int error() const { return error_; }
  // Removes the live lines and brings the cursor back.
  void Clear();

 private:
  // `above`: goes where the live lines began, and stays. One write, so nothing flickers.
  void Draw(const std::string& above, const std::vector<std::string>& lines);
  std::string ToTop() const;
  void Write(const std::string& bytes);

  const int fd_;
  const bool terminal_;
  const bool style_;
  int error_ = 0;
  bool calibrates_ = false;
  std::vector<std::string> drawn_;  // live lines on the terminal
  std::string last_phase_;
  Nanos last_shown_ = 0;
};

}  // namespace rackmark
