-- The slots of a window are numbers without names now. What a window held counts for one minute only: it begins anew.
DELETE FROM rate_windows;
-- There are as many reservations as calls under way: few enough to read them all, while each index is written twice a call.
DROP INDEX reservations_by_epoch;
DROP INDEX reservations_by_order;
