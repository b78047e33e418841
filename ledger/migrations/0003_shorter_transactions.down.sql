CREATE INDEX reservations_by_epoch ON reservations (epoch);
CREATE INDEX reservations_by_order ON reservations (order_uid);
-- The older form of a window begins anew as well.
DELETE FROM rate_windows;
