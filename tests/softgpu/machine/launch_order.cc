#include "machine/launch_order.h"

#include <algorithm>

#include "machine/lanes.h"

namespace softgpu {
namespace {

void merge(std::vector<uint32_t>& into, const std::vector<uint32_t>& from) {
  for (const uint32_t item : from) {
    if (std::find(into.begin(), into.end(), item) == into.end()) into.push_back(item);
  }
}

}  // namespace

void LaunchOrder::begin_block(uint64_t block) {
  block_ = block;
  for (Knowledge& warp : warps_) warp = {};
}

void LaunchOrder::learn(Knowledge& knowledge, const std::vector<uint32_t>& releases) {
  merge(knowledge.acquired, releases);
  for (const uint32_t release : releases) {
    if (!knowledge.seen.contains(release)) knowledge.unseen.push_back(release);
  }
}

void LaunchOrder::acquire(uint32_t warp) {
  learn(warps_[warp], warps_[warp].observed);
  warps_[warp].observed.clear();
}

void LaunchOrder::fence(uint32_t warp) {
  acquire(warp);
  Knowledge& knowledge = warps_[warp];
  Release release{.block = block_,
                  .warp = warp,
                  .generation = clock_.generation(),
                  .settled = clock_.settled(),
                  .known = {},
                  .acquired = knowledge.acquired};
  const auto& known = clock_.known(warp);
  if (std::any_of(known.begin(), known.end(), [&](uint32_t g) { return g > clock_.settled(); }))
    release.known = known;
  const auto number = static_cast<uint32_t>(releases_.size());
  releases_.push_back(std::move(release));
  // It says all that was acquired before.
  knowledge.acquired = {number};
  knowledge.fenced = {number};
}

void LaunchOrder::strong_read(uint32_t warp, uint64_t address) {
  const auto found = published_.find(address);
  if (found != published_.end()) merge(warps_[warp].observed, found->second);
}

void LaunchOrder::strong_write(uint32_t warp, uint64_t address, bool replaces) {
  const auto& fenced = warps_[warp].fenced;
  if (fenced.empty() && !replaces) return;
  auto& published = published_[address];
  if (replaces) published.clear();
  merge(published, fenced);
}

void LaunchOrder::barrier(uint32_t arrived, uint32_t waited) {
  std::vector<uint32_t> acquired;
  std::vector<uint32_t> fenced;
  for_lanes(arrived | waited, [&](int w) {
    merge(acquired, warps_[w].acquired);
    merge(fenced, warps_[w].fenced);
  });
  if (acquired.empty() && fenced.empty()) return;
  for_lanes(waited, [&](int w) {
    learn(warps_[w], acquired);
    merge(warps_[w].fenced, fenced);
  });
}

bool LaunchOrder::ordered(uint64_t block, uint32_t other, uint32_t generation, uint32_t warp) {
  if (releases_.empty()) return false;
  Knowledge& knowledge = warps_[warp];
  const auto known = [&] {
    const auto found = knowledge.by_block.find(block);
    return found != knowledge.by_block.end() &&
           std::any_of(found->second.begin(), found->second.end(),
                       [&](uint32_t release) { return releases_[release].covers(other, generation); });
  };
  if (known()) return true;
  while (!knowledge.unseen.empty()) {
    const uint32_t number = knowledge.unseen.back();
    knowledge.unseen.pop_back();
    if (!knowledge.seen.insert(number).second) continue;
    const Release& release = releases_[number];
    knowledge.by_block[release.block].push_back(number);
    for (const uint32_t earlier : release.acquired) {
      if (!knowledge.seen.contains(earlier)) knowledge.unseen.push_back(earlier);
    }
    if (release.block == block && release.covers(other, generation)) return true;
  }
  return false;
}

}  // namespace softgpu
