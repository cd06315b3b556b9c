-- When each event happened, so that an auditor can list what the owners did, and when, without
-- unpacking what the node answered.
set local role pod_owner;

alter table indexer.event
  add column event_at timestamptz;  -- the block's time; null for events read before this column

reset role;
