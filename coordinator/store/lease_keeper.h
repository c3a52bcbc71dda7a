// Keeps the lead: renews it on a thread of its own, and on another one watches that its time is not
// over while a renewal hangs. `lost` is called once, from either: the process must end before
// anybody is answered. Owned by main; the leadership belongs to the keeper until Stop.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store/leadership.h"

namespace rackmark {

class LeaseKeeper {
 public:
  struct Options {
    Leadership* leadership = nullptr;  // which leads
    const Clock* clock = nullptr;
    Nanos interval = 0;  // several fit into the ttl
    std::function<void(const absl::Status&)> lost;
  };

  explicit LeaseKeeper(Options options);
  ~LeaseKeeper();  // Stop()
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;
  // Told to whoever asks the standbys, with the next renewal. Any thread.
  void Announce(const std::string& address);
  // Renews at once, because somebody says that another leads: the database knows. Asked again
  // within half an interval it is left to the next renewal, so that who says so all the time costs
  // nothing. Any thread.
  void RenewNow();
  void Stop();

 private:
  void Renew();
  void Watch();
  // False: stopped. Up to `timeout`, or until there is cause to renew now if `early`.
  bool Wait(Nanos timeout, bool early);
  void Lose(const absl::Status& status);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable moved_;
  bool stopping_ = false, told_ = false;
  std::string address_;  // not told yet
  bool asked_ = false;   // to renew at once
  std::optional<Nanos> asked_at_;
  std::vector<std::thread> threads_;
};

}  // namespace rackmark
